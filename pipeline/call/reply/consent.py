"""Questions to the user before a tool may do something: their next words are a yes, or it is not done."""

from pipeline.engines.protocols import ToolCall
from pipeline.text.consent import consents

ASKED = (
    "Not done yet: the user is being asked whether they want it. If they say yes it is done by itself, and you will "
    "get the result."
)

ONE_AT_A_TIME = "Error: not done, because the user is being asked about something else; ask for it again afterwards"


class Consent:
    """Of one call: one question at a time, which counts until anything else is said.

    Attributes:
        approvals: calls that the client has to approve, by their ids.
    """

    def __init__(self) -> None:
        self.approvals: dict[str, ToolCall] = {}
        self._proposed: tuple[str, ToolCall] | None = None
        self._asked: ToolCall | None = None

    def propose(self, reply_id: str, call: ToolCall) -> bool:
        """This reply is going to ask whether a tool may do something; False where it asks about something already."""
        if self._proposed is not None and self._proposed[0] == reply_id:
            return False
        self._proposed = (reply_id, call)
        return True

    def proposes(self, reply_id: str) -> ToolCall | None:
        """What this reply asks about."""
        return self._proposed[1] if self._proposed is not None and self._proposed[0] == reply_id else None

    def over(self, reply_id: str, *, heard: bool) -> None:
        """A reply is over; the question in it counts if it was heard to its end."""
        call = self.proposes(reply_id)
        if call is not None:
            self._proposed, self._asked = None, call if heard else None

    def granted(self, said: str, language: str) -> ToolCall | None:
        """What these words allow, as the answer to the question; None for nothing."""
        return self._asked if self._asked is not None and consents(said, language) else None

    def forget(self) -> None:
        """Something else is said: the question is not open any more."""
        self._asked = None
