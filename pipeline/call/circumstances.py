"""Who calls, and what time it is where they are: what a language model cannot know by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
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
        clock: gives the time, aware of its zone; None where the model is to be told of none.
        hourly: tell the hour instead of the minute, so that many short requests in a row begin alike.
    """

    name: str = ""
    time_zone: str = ""
    clock: Callable[[], datetime] | None = None
    hourly: bool = False

    def moment(self) -> Moment | None:
        """The time for the user; None where nobody tells it."""
        if self.clock is None:
            return None
        now = self.clock()
        there = now.astimezone(zone(self.time_zone))
        hour, half = there.hour % 12 or 12, "AM" if there.hour < 12 else "PM"
        time = f"about {hour} {half}" if self.hourly else f"{hour}:{there.minute:02d} {half}"
        return Moment(now.timestamp(), f"{there:%A}, {there.day} {there:%B} {there.year}, {time}")


def now_here() -> datetime:
    """The time of this machine, with its zone."""
    return datetime.now().astimezone()


def zone(name: str) -> ZoneInfo | None:
    """A time zone by its IANA name; None for that of this machine."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
