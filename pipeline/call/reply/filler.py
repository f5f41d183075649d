"""Says that it takes a moment, when a reply has to wait for a tool or for a model that thinks."""

from pipeline.call.reply.reply import Reply


class Filler:
    """Of one reply; says it at most once, and only where nothing else was said.

    Args:
        reply: whose it is.
        text: what is said; "" for nothing.
        after_s: seconds that the user waits before it is said.
    """

    def __init__(self, reply: Reply, text: str, after_s: float) -> None:
        self._reply = reply
        self._text = text.strip()
        self._after_s = after_s
        self._said = False

    def choose(self, text: str) -> None:
        """Say this in place of it; "" changes nothing."""
        if text.strip() and not self._said:
            self._text = text.strip()

    @property
    def alone(self) -> bool:
        """Whether the reply has said that it takes a moment, and nothing else."""
        return self._said and self._reply.text.strip() == self._text

    def wait(self, since: float, now: float) -> None:
        """The reply waits, and has done so since then."""
        if self._said or not self._text or now - since < self._after_s or self._reply.text.strip():
            return
        self._said = True
        self._reply.add_text(self._text, now)
        self._reply.pause_text(now)
