"""The filler of a reply that has to wait for a tool, a model that thinks, or one that is silent."""

from pipeline.call.options import CallOptions
from pipeline.call.reply.reply import Reply


class Filler:
    """Of one reply; says something at most once, and only where nothing else was said.

    Args:
        reply: whose it is.
        options: what is said, and when.
    """

    def __init__(self, reply: Reply, options: CallOptions) -> None:
        self._reply = reply
        self._filler = options.phrase("tool_filler", reply.language)[0].strip()
        self._filler_after_s = options.filler_after_s
        self._delay_apology = options.phrase("delay_apology", reply.language)[0].strip()
        self._delay_after_s = options.delay_apology_after_s
        self._said = ""

    def choose(self, text: str) -> None:
        """Say this in place of it; "" changes nothing."""
        if text.strip() and not self._said:
            self._filler = text.strip()

    @property
    def alone(self) -> bool:
        """Whether the reply has said that it takes a moment, and nothing else."""
        return bool(self._said) and self._reply.text.strip() == self._said

    def wait(self, since: float, now: float) -> None:
        """The reply waits for something that takes its time, and has done so since then."""
        if now - since >= self._filler_after_s:
            self._say(self._filler, now)

    def silent(self, since: float, now: float) -> None:
        """The user has waited since then for an engine of which there is no sign, or a word now and then."""
        reply = self._reply
        early = now - since < self._delay_after_s
        if early or reply.first_clause_at is not None or not reply.speaks or not self._delay_apology:
            return
        if reply.text.strip():
            reply.say_so_far(now)
        else:
            self._say(self._delay_apology, now)

    def _say(self, text: str, now: float) -> None:
        if self._said or not text or self._reply.text.strip():
            return
        self._said = text
        self._reply.add_text(text, now)
        self._reply.pause_text(now)
