"""What of a streaming session outlives this process: its state, and the audio that is not text yet."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog

from persistence.cache.redis_tier import RedisTier
from persistence.errors import StoreUnavailableError
from pipeline.audio import Pcm
from pipeline.engines.protocols import Word
from pipeline.transcription.segments import Segment

log = structlog.get_logger(__name__)

KIND = "stt"
"""Sessions of calls have the same kind of key."""

CHUNK = 32_768
"""Samples of a chunk in Redis at most (64 KiB)."""

TRIM = 32_000
"""Samples (2 s) that must have become superfluous before they are taken out."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """A streaming session without its audio.

    Attributes:
        language: that was asked for; None to detect.
        rate: of the client's audio, Hz.
        segments: that are final.
        begins_at: number of the first sample that is kept.
        needed_from: number of the first sample that is not text yet.
        leftover: half a sample, hex.
        sequence: of the last chunk that was numbered; -1 before.
        unclear: there was speech whose words could not be made out.
        owner: id of the principal who began it; "" where nobody is asked who they are.
    """

    language: str | None
    rate: int
    segments: tuple[Segment, ...] = ()
    begins_at: int = 0
    needed_from: int = 0
    leftover: str = ""
    sequence: int = -1
    unclear: bool = False
    owner: str = ""

    def to_json(self) -> bytes:
        """As it stands in Redis."""
        return json.dumps({"kind": KIND, **asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "SessionState | None":
        """From Redis; None where it is no session of ours."""
        try:
            values: dict[str, Any] = json.loads(data)
            if values.pop("kind", None) != KIND:
                return None
            segments = tuple(
                Segment(**{**each, "words": tuple(Word(**word) for word in each["words"])})
                for each in values.pop("segments")
            )
            return cls(**values, segments=segments)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("a session in Redis cannot be read", problem=type(error).__name__)
            return None


class SessionStore:
    """Keeps one session in Redis, as long as there is a Redis; without, the session lives in this process only.

    Args:
        session_id: of the session.
        ttl_s: seconds without a sign of life after which Redis forgets it.
    """

    def __init__(self, session_id: str, ttl_s: int) -> None:
        self._id = session_id
        self._ttl_s = ttl_s
        self._kept: deque[int] = deque()
        self._begins_at = 0
        self._complete = False
        self._last: SessionState | None = None

    async def keep(
        self, redis: RedisTier | None, state: SessionState, added: Pcm, everything: Callable[[], Pcm]
    ) -> bool:
        """Write down what is new.

        Args:
            redis: None where there is no memory.
            state: of the session, but for `begins_at`.
            added: audio that came since the last time, 16 kHz, shape (n,).
            everything: all audio since `needed_from`; asked for where Redis has lost or never had it.

        Returns:
            whether it is written.
        """
        if redis is None:
            return False
        afresh = not self._complete
        if afresh:
            added = everything()
            self._kept.clear()
            self._begins_at = state.needed_from
        forget = 0 if afresh else self._superfluous(state.needed_from)
        begins_at = self._begins_at + sum(list(self._kept)[:forget])
        now = replace(state, begins_at=begins_at)
        chunks = [added[start : start + CHUNK] for start in range(0, added.size, CHUNK)]
        changed = afresh or forget or self._differs(now)
        try:
            self._complete = await redis.keep_stream(
                self._id,
                [chunk.astype("<i2").tobytes() for chunk in chunks],
                self._ttl_s,
                state=now.to_json() if changed else None,
                forget=forget,
                afresh=afresh,
            )
        except StoreUnavailableError:
            # Told by the tier, once. Whatever is there by then, next time it is written anew.
            self._complete = False
            return False
        self._last = now if changed else self._last
        self._begins_at = begins_at
        for _ in range(forget):
            self._kept.popleft()
        self._kept.extend(chunk.size for chunk in chunks)
        return self._complete

    def _superfluous(self, needed_from: int) -> int:
        """How many of the oldest chunks can go, once there are enough of them."""
        position, count, superfluous = self._begins_at, 0, 0
        for size in self._kept:
            if position + size > needed_from:
                break
            position += size
            count += 1
            superfluous += size
        return count if superfluous >= TRIM else 0

    def _differs(self, state: SessionState) -> bool:
        """Whether more has changed than what the audio itself tells."""
        last = self._last
        if last is None:
            return True
        return (last.leftover, last.sequence, len(last.segments)) != (
            state.leftover,
            state.sequence,
            len(state.segments),
        )


async def find(redis: RedisTier | None, session_id: str) -> tuple[SessionState, Sequence[bytes]] | None:
    """A session that another process began, with its audio; None where there is none, or no Redis to ask."""
    if redis is None:
        return None
    try:
        found = await redis.stream(session_id)
    except StoreUnavailableError:
        return None
    if found is None:
        return None
    state = SessionState.from_json(found[0])
    return None if state is None else (state, found[1])
