"""The words of replies, whatever language model they come from: the last place where a thought is stopped."""

from collections.abc import AsyncIterator
from dataclasses import replace

from pipeline.engines.protocols import ChatDelta
from pipeline.text.thinking import ThoughtFilter


class WordsOnly:
    """Takes the thoughts out of the replies of one engine.

    Morgan's own engines do so themselves, since a grammar, a token limit or a prompt depends on it; what they give
    passes as it is. Engines of other packages need not know of thoughts. From the first reply on that closes a thought
    which no tag had opened, replies are taken to begin within one.
    """

    def __init__(self) -> None:
        self._begins_in_thought = False

    async def of(self, deltas: AsyncIterator[ChatDelta]) -> AsyncIterator[ChatDelta]:
        """The deltas of one reply without what is thought; that there is a thought is told by deltas without text."""
        found = ThoughtFilter(opened=self._begins_in_thought, sure=False)
        async for delta in deltas:
            if delta.finish_reason is None:
                text = found.feed(delta.text)
                thinking = delta.thinking or found.thinking
                if text or thinking or not delta.text:
                    yield replace(delta, text=text, thinking=thinking)
                continue
            rest = found.feed(delta.text) + found.finish()
            self._begins_in_thought = self._begins_in_thought or found.unopened
            if rest:
                yield ChatDelta(rest)
            yield replace(delta, text="")
