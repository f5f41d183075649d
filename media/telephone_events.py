"""Keys of a telephone in RTP (RFC 4733 section 2.3). Sans-I/O."""

KEYS = "0123456789*#ABCD"
"""By event code (section 3.2)."""

_PAYLOAD = 4
_NEWER = 1 << 31


class TelephoneEvents:
    """Tells keys from packets: an event is sent many times, with one timestamp, and its end three times."""

    def __init__(self) -> None:
        self._last: int | None = None

    def take(self, payload: bytes, timestamp: int) -> str | None:
        """The key that begins with this packet; None where it is a repetition, or no key.

        Args:
            payload: of a telephone event.
            timestamp: of its packet.
        """
        if len(payload) < _PAYLOAD or payload[0] >= len(KEYS):
            return None
        if self._last is not None and not 0 < (timestamp - self._last) & 0xFFFFFFFF < _NEWER:
            return None
        self._last = timestamp
        return KEYS[payload[0]]

    def restart(self) -> None:
        """Another sender, whose timestamps have nothing to do with those before."""
        self._last = None
