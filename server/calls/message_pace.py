"""How fast a client may say things on the data channel of its call.

A data channel has no end that pushes back: what a client sends is decrypted, put together and acted upon as it comes,
on the event loop that has the sound of all calls. Sans-I/O.
"""

from server.bounds import (
    FLOOD_MESSAGES,
    MAX_MESSAGE_BURST,
    MAX_MESSAGE_CHARS_BURST,
    MESSAGE_CHARS_A_SECOND,
    MESSAGES_A_SECOND,
)

PAUSE_S = 2.0


class MessagePace:
    """Counts messages and their characters; what was saved in quiet times may come at once.

    A client that has used it all up is not heard until there is room for what it may say in `PAUSE_S`: one message let
    in now and then would tell it that nothing is wrong.

    Args:
        now: monotonic, s.

    Attributes:
        refused: messages since it was last heard.
    """

    def __init__(self, now: float) -> None:
        self.refused = 0
        self._messages = float(MAX_MESSAGE_BURST)
        self._chars = float(MAX_MESSAGE_CHARS_BURST)
        self._at = now

    @property
    def flooded(self) -> bool:
        """Whether the client goes on and on: nothing but the end of the call stops what it costs."""
        return self.refused >= FLOOD_MESSAGES

    def take(self, chars: int, now: float) -> bool:
        """Count a message; False where it came too fast, and is to be left out.

        Args:
            chars: of it.
            now: monotonic, s.
        """
        passed, self._at = now - self._at, now
        self._messages = min(self._messages + passed * MESSAGES_A_SECOND, MAX_MESSAGE_BURST)
        self._chars = min(self._chars + passed * MESSAGE_CHARS_A_SECOND, MAX_MESSAGE_CHARS_BURST)
        pause_s = PAUSE_S if self.refused else 0.0
        if (
            self._messages < max(1.0, pause_s * MESSAGES_A_SECOND)
            or self._chars < chars + pause_s * MESSAGE_CHARS_A_SECOND
        ):
            self.refused += 1
            return False
        self._messages -= 1
        self._chars -= chars
        self.refused = 0
        return True
