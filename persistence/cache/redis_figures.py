"""What is counted of Redis."""

from dataclasses import dataclass


@dataclass(slots=True)
class RedisFigures:
    """Counters since the start; hits and misses count as `keyspace_hits` and `keyspace_misses` of Redis do."""

    hits: int = 0
    misses: int = 0
    written: int = 0
    published: int = 0
    dropped: int = 0
    failures: int = 0
