"""Keys that the user presses on a telephone, put together to what they mean by them. Sans-I/O."""

from pipeline.call.inputs import KEYS

END_KEY = "#"
"""Ends what is being pressed at once, as callers are used to."""

PAUSE_S = 2.0
"""So long after the last key what was pressed is complete."""

MOST = 64
"""Keys in a row that are kept; a card number has 19."""


class Keypad:
    """Collects keys until nothing more comes, or `END_KEY`."""

    def __init__(self) -> None:
        self._pressed = ""
        self._last_at = 0.0

    def press(self, key: str, now: float) -> None:
        """A key was pressed; what is none of a telephone's is passed over, as is what is too much."""
        if key in KEYS and len(self._pressed) < MOST:
            self._pressed += key
        self._last_at = now

    def take(self, now: float) -> str:
        """What was pressed, if it is complete; "" otherwise. It is given once."""
        complete = self._pressed.endswith(END_KEY) or now - self._last_at >= PAUSE_S or len(self._pressed) >= MOST
        if not self._pressed or not complete:
            return ""
        pressed, self._pressed = self._pressed, ""
        return pressed


def pressed_turn(pressed: str) -> str:
    """What was pressed, as the turn of the user that it is: in words that a language model takes for keys."""
    return f"(pressed on the keypad: {pressed})"
