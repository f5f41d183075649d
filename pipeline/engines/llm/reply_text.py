"""From the bytes of tokens to the characters of a reply: whole characters, no stop text, no thoughts."""

import codecs
from collections.abc import Sequence

from pipeline.text.thinking import ThoughtFilter


class ReplyAssembler:
    """Assembles one reply.

    Text that might be the beginning of a stop text is held back until it is clear that it is not.

    Args:
        stop: texts that end the reply; neither they nor what follows is ever returned. Empty ones are ignored.
        in_thought: the prompt ends within a thought, see `ThoughtFilter`.

    Attributes:
        stopped: a stop text has come; nothing more will be returned.
    """

    def __init__(self, stop: Sequence[str] = (), *, in_thought: bool = False) -> None:
        self.stopped = False
        self._thoughts = ThoughtFilter(opened=in_thought)
        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    @property
    def thinking(self) -> bool:
        """Whether what comes now is thought."""
        return self._thoughts.thinking

    def feed(self, piece: bytes) -> str:
        """The characters that have become certain with the next token's bytes (UTF-8, perhaps cut in a character)."""
        return self._thoughts.feed(self._certain(piece))

    def _certain(self, piece: bytes) -> str:
        if self.stopped:
            return ""
        self._held += self._decoder.decode(piece)
        found = min((at for text in self._stop if (at := self._held.find(text)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            text, self._held = self._held[:found], ""
            return text
        keep = self._undecided()
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text

    def finish(self) -> str:
        """What was held back, once the model has said that it is done; half a character is dropped."""
        text, self._held = self._held, ""
        return self._thoughts.feed(text) + self._thoughts.finish()

    def _undecided(self) -> int:
        """Length of the longest tail that begins a stop text."""
        longest = min(max(map(len, self._stop), default=1) - 1, len(self._held))
        for length in range(longest, 0, -1):
            tail = self._held[-length:]
            if any(text.startswith(tail) for text in self._stop):
                return length
        return 0
