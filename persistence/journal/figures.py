"""Counters of the journal and its delivery."""

from dataclasses import dataclass


@dataclass(slots=True)
class OutboxFigures:
    """Counters since the start, for health and metrics.

    Attributes:
        recorded: records taken in.
        delivered: records that PostgreSQL took.
        refused: records that PostgreSQL will never take; the last are in `refused.jsonl` in the journal's folder.
        lost: records that found the journal full.
        failures: attempts to deliver that failed.
        pending: records that wait.
        pending_bytes: bytes that wait, on disk and for it.
        lag_s: age of the oldest record that waits, to a second; of one from an earlier run, since this one's start.
        fill: share of the bound that they take, 0 to 1.
    """

    recorded: int = 0
    delivered: int = 0
    refused: int = 0
    lost: int = 0
    failures: int = 0
    pending: int = 0
    pending_bytes: int = 0
    lag_s: float = 0.0
    fill: float = 0.0
