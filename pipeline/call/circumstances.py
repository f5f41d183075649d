"""The caller and their time of day: what a language model cannot know by itself."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LONGEST_NAME = 80


class Moment(NamedTuple):
    """A point in time.

    Attributes:
        seconds: since 1970, UTC.
        words: date and time as a model reads them best, "Thursday, 26 November 2026, 2:40 PM".
    """

    seconds: float
    words: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is so around one conversation.

    Attributes:
        name: of the user; "" where it is not known.
        time_zone: where the user is, as the IANA database names it, "Europe/Paris"; "" or an unknown one for that of
            this machine.
        began: when the conversation began, seconds since 1970; None where the model is to be told of no time.
        hourly: tell the hour instead of the minute, so that many short requests in a row begin alike.
    """

    name: str = ""
    time_zone: str = ""
    began: float | None = None
    hourly: bool = False

    def moment(self, elapsed_s: float = 0.0) -> Moment | None:
        """The time for the user, so long after the beginning; None where it is not known."""
        if self.began is None:
            return None
        seconds = self.began + elapsed_s
        there = datetime.fromtimestamp(seconds, UTC).astimezone(zone(self.time_zone))
        hour, half = there.hour % 12 or 12, "AM" if there.hour < 12 else "PM"
        time = f"about {hour} {half}" if self.hourly else f"{hour}:{there.minute:02d} {half}"
        return Moment(seconds, f"{there:%A}, {there.day} {there:%B} {there.year}, {time}")


def zone(name: str) -> ZoneInfo | None:
    """A time zone by its IANA name; None for that of this machine."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
