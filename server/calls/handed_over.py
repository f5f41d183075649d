"""Calls that go on in the next process: written down as this one ends them, taken up by whoever has their token.

They lie in the data directory, for the process that has it next, and in Redis, for others that share it; for as long as
clients try to come back, and no longer than their user's data. A token is kept as its digest.
"""

import contextlib
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from persistence.cache.keys import handed_over_key
from persistence.cache.redis_tier import RedisTier
from persistence.embedded.processes import write_private
from persistence.errors import StoreUnavailableError
from persistence.ids import conversation_uuid
from pipeline.call.options import CallOptions
from server.http.rate_limits import NO_REDIS

FILE = "handed-over.json"
"""In the run directory."""

KEPT_S = 180
"""Clients of ours try for two minutes to come back."""

FLUSH_S = 0.5
"""For which Redis is waited for when something is deleted."""

CARRIED = (
    *("language", "expected_language", "instructions", "voice", "speed", "user_name", "time_zone", "record_inputs"),
    "fixed",
)
"""Options of a call that it has in the next process too."""

log = structlog.get_logger(__name__)


class HandedCall(BaseModel):
    """A call without a process.

    Attributes:
        call_id: which it keeps.
        token: digest of its resume token.
        user_id: whose it is.
        conversation_id: that it goes on with.
        options: those of `CARRIED` that it has.
        ends_at: Unix time until which it can be taken up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_id: str
    token: str
    user_id: str
    conversation_id: str
    options: dict[str, str | float | bool | tuple[str, ...] | None]
    ends_at: float

    @classmethod
    def of(cls, call_id: str, resume_token: str, options: CallOptions) -> "HandedCall":
        """A call that ends here."""
        carried = {name: getattr(options, name) for name in CARRIED}
        return cls(
            call_id=call_id,
            token=_digest(resume_token),
            user_id=options.user_id,
            conversation_id=options.conversation_id,
            options=carried,
            ends_at=time.time() + KEPT_S,
        )

    def takes(self, resume_token: str) -> bool:
        """Whether a token is the call's, in constant time."""
        return hmac.compare_digest(self.token, _digest(resume_token))

    def of_user(self, user_id: str, conversation_id: UUID | None = None) -> bool:
        """Whether it is a user's, and in that conversation where one is named."""
        return self.user_id == user_id and conversation_id in (None, conversation_uuid(self.conversation_id))


_LISTED = TypeAdapter(list[HandedCall])


class HandedOver:
    """The calls that were handed over, by this process or by the one before it.

    Args:
        path: of the file; None to keep none.
        redis: the fast tier, where there is one now.
    """

    store, part = "handed_over", "calls"

    def __init__(self, path: Path | None = None, redis: Callable[[], RedisTier | None] = NO_REDIS) -> None:
        self._path = path
        self._redis = redis
        self._given: dict[str, HandedCall] = {}
        self._left: dict[str, HandedCall] = {}
        self._written = False

    def give(self, call: HandedCall) -> None:
        """Leave a call to the process that follows."""
        if not self._given:
            # Those of the process before that nobody has come for are the next one's too.
            self._read()
        self._given[call.call_id] = call
        self._write()
        redis = self._redis()
        if redis is not None:
            redis.put(handed_over_key(call.call_id), call.model_dump_json().encode(), KEPT_S)

    def given(self, call_id: str) -> bool:
        """Whether this process has given it away."""
        return call_id in self._given

    async def find(self, call_id: str) -> HandedCall | None:
        """A call that can still be taken up."""
        self._read()
        found = self._left.get(call_id) or await self._elsewhere(call_id)
        if found is None or found.ends_at < time.time():
            return None
        self._left[call_id] = found
        return found

    def take(self, call_id: str) -> HandedCall | None:
        """Take up a call that `find` has found; None where somebody else has meanwhile."""
        taken = self._left.pop(call_id, None)
        redis = self._redis()
        if taken is not None and redis is not None:
            redis.delete(handed_over_key(call_id))
        return taken

    def put_back(self, call: HandedCall) -> None:
        """What was taken could not go on: it can be tried again."""
        self._left[call.call_id] = call

    async def count(self, user_id: str) -> int | None:
        """How many of a user's calls are kept, here and in Redis; None where that does not answer."""
        self._read()
        found = {call.call_id for call in (*self._given.values(), *self._left.values()) if call.of_user(user_id)}
        try:
            return len(found | {call.call_id for call in await self._all_elsewhere() if call.of_user(user_id)})
        except StoreUnavailableError:
            return None

    async def delete(self, user_id: str, conversation_id: UUID | None = None) -> None:
        """Forget the calls of a user, or (with one) those of a conversation that are known here."""
        self._read()
        gone: set[str] = set()
        for calls in (self._given, self._left):
            gone |= {call.call_id for call in calls.values() if call.of_user(user_id, conversation_id)}
            for call_id in gone & calls.keys():
                del calls[call_id]
        if gone and self._written:
            self._write()
        redis = self._redis()
        if redis is None:
            return
        if conversation_id is None:
            # Of conversations many go at once, for their age, and those have no calls of minutes ago.
            with contextlib.suppress(StoreUnavailableError):
                gone |= {call.call_id for call in await self._all_elsewhere() if call.of_user(user_id)}
        for call_id in gone:
            redis.delete(handed_over_key(call_id))
        if gone:
            await redis.flush(FLUSH_S)

    def _write(self) -> None:
        """Put in the file what the next process is to find."""
        if self._path is None:
            return
        calls = [*self._given.values(), *self._left.values()]
        try:
            write_private(self._path, _LISTED.dump_json(calls).decode())
            self._written = True
        except OSError as error:
            # Their callers go on in new calls with the same conversations.
            log.warning("calls not handed over by file", problem=str(error))

    def _read(self) -> None:
        """What the process before has left in the file, once; those of it that nobody came for go."""
        now = time.time()
        self._left = {call_id: call for call_id, call in self._left.items() if call.ends_at >= now}
        if self._path is None or self._written or not self._path.exists():
            return
        try:
            left = _LISTED.validate_json(self._path.read_bytes())
        except (OSError, ValidationError) as error:
            # The words of a validation quote what was read: names, instructions.
            log.warning("calls that were handed over cannot be read", problem=type(error).__name__)
            left = []
        self._left |= {call.call_id: call for call in left if call.ends_at >= now}
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def _all_elsewhere(self) -> list[HandedCall]:
        """All in Redis.

        Raises:
            StoreUnavailableError: it does not answer.
        """
        redis = self._redis()
        found: list[HandedCall] = []
        if redis is not None and redis.enabled:
            for value in (await redis.beginning(handed_over_key(""))).values():
                with contextlib.suppress(ValidationError):
                    found.append(HandedCall.model_validate_json(value))
        return found

    async def _elsewhere(self, call_id: str) -> HandedCall | None:
        redis = self._redis()
        if redis is None:
            return None
        try:
            value = await redis.get(handed_over_key(call_id))
            return None if value is None else HandedCall.model_validate_json(value)
        except (StoreUnavailableError, ValidationError) as error:
            log.warning("calls that were handed over cannot be read", problem=type(error).__name__)
            return None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
