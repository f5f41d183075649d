"""What went wrong lately: the last warnings and errors of the log, for the operator's page."""

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

KEPT = 200
"""The oldest go first."""

MOST_CHARACTERS = 300
"""Of a field's value."""

UNTOLD = frozenset({"event", "level", "logger", "timestamp", "exc_info", "stack_info", "stack"})
"""Keys of a record that are said by other fields of a `Fault`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One warning or error.

    Attributes:
        number: counts up from 1 over the life of the process.
        at: wall clock, UTC.
        level: "warning", "error" or "critical".
        source: the logger's name.
        message: static words.
        fields: what was said along with them, as text; with `error`, the type of the exception.
    """

    number: int
    at: datetime
    level: str
    source: str
    message: str
    fields: dict[str, str]


class FaultKeeper(logging.Handler):
    """Keeps the last warnings and errors in memory; any thread may log them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: deque[Fault] = deque(maxlen=KEPT)
        self._number = 0
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        logged: Any = record.msg
        said: dict[str, Any] = logged if isinstance(logged, dict) else {"event": record.getMessage()}
        fields = {str(key): _short(value) for key, value in said.items() if key not in UNTOLD and key[:1] != "_"}
        error = _error(said.get("exc_info") or record.exc_info)
        if error:
            fields["error"] = error
        at = datetime.fromtimestamp(record.created, UTC)
        with self._guard:
            self._number += 1
            words = _short(said.get("event", ""))
            self._kept.append(Fault(self._number, at, record.levelname.lower(), record.name, words, fields))

    def since(self, number: int) -> list[Fault]:
        """Those after a number, the oldest first; 0 for all that are kept."""
        with self._guard:
            return [fault for fault in self._kept if fault.number > number]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _error(info: object) -> str:
    """The type of an exception, as a logger was given it; its words may hold what a caller said."""
    if isinstance(info, tuple) and len(info) == 3:
        info = info[1]
    return type(info).__name__ if isinstance(info, BaseException) else ""


FAULTS = FaultKeeper()
"""Of this process; `configure_logs` has every log go there too."""
