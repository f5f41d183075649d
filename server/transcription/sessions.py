"""All streaming sessions of this process: begun, found again after a restart, ended, abandoned."""

import asyncio
import contextlib
import re
import secrets
import time
from collections import OrderedDict

import structlog
from aiohttp import web

from persistence.cache.redis_tier import RedisTier
from persistence.errors import StoreUnavailableError
from persistence.tasks import keep_running
from persistence.values import AudioTranscription
from pipeline.scheduling.lanes import Lane
from server.http.errors import ApiError
from server.identity.principal import LOCAL, Principal
from server.memory.door import MemoryDoor
from server.transcription.session import Result, StreamSession
from server.transcription.session_store import SessionState, find
from server.transcription.transcriber import Transcriber, segment_json

log = structlog.get_logger(__name__)

SESSION_ID = re.compile(r"stt_[0-9a-f]{32}")

RESULTS_KEPT = 256
"""Ended sessions whose result is told again, should its first telling have been lost on the way."""


class StreamSessions:
    """The sessions.

    Args:
        transcriber: has the engines, and writes results down.
        memory: whose Redis keeps sessions over a restart.
        limit: sessions at once.
        ttl_s: seconds without a sign of life after which one is abandoned.

    Attributes:
        limit, ttl_s: as above.
        begun: sessions since the start.
        resumed: of other processes, since the start.
        expired: abandoned since the start.
    """

    def __init__(self, transcriber: Transcriber, memory: MemoryDoor, limit: int, ttl_s: int) -> None:
        self.begun = 0
        self.resumed = 0
        self.expired = 0
        self.limit = limit
        self._transcriber = transcriber
        self._memory = memory
        self.ttl_s = ttl_s
        self._lane = Lane("streams")
        self._sessions: dict[str, StreamSession] = {}
        self._results: OrderedDict[str, tuple[str, Result]] = OrderedDict()
        self._resuming: dict[str, asyncio.Task[StreamSession | None]] = {}
        self._sweeper = keep_running(self._sweep, "abandoned streams")

    @property
    def active(self) -> int:
        """Sessions now."""
        return len(self._sessions)

    async def begin(self, language: str | None, rate: int, owner: str = "") -> str:
        """A new session; returns its id.

        Args:
            language: ISO 639-1 code, None to detect.
            rate: of the audio to come, Hz.
            owner: id of the principal whose it is.

        Raises:
            ApiError: 429, there are too many.
        """
        self._refuse_more()
        session_id = f"stt_{secrets.token_hex(16)}"
        session = self._sessions[session_id] = self._session(session_id, SessionState(language, rate, owner=owner))
        self.begun += 1
        # Written down at once, so that a restart before the first chunk finds it.
        await session.resume([], 0)
        return session_id

    async def get(self, session_id: str, who: Principal = LOCAL) -> StreamSession:
        """A session of somebody by its id, also one that was begun before a restart.

        Raises:
            ApiError: 404 there is none, 429 too many.
        """
        session = self._sessions.get(session_id)
        if session is None and SESSION_ID.fullmatch(session_id) and session_id not in self._results:
            session = await self._resume(session_id)
        if session is None or not _theirs(session.owner, who):
            raise self._unknown()
        return session

    def _unknown(self) -> ApiError:
        message = f"No such session: it was ended, or not used for {self.ttl_s} s. POST /stream/start begins one"
        return ApiError(404, "unknown_session", message)

    async def end(self, session_id: str, who: Principal = LOCAL) -> Result:
        """End a session and write its transcript down; asked again, it tells the same again.

        Raises:
            ApiError: 404 there is none, 503 the engine fails.
        """
        known = self._results.get(session_id)
        if known is not None:
            owner, result = known
            if not _theirs(owner, who):
                raise self._unknown()
            return result
        session = await self.get(session_id, who)
        result = await session.finish()
        if self._sessions.pop(session_id, None) is None:
            # Another request asked too and was first.
            return result
        self._results[session_id] = (session.owner, result)
        if len(self._results) > RESULTS_KEPT:
            self._results.popitem(last=False)
        self._record(session_id, result)
        await session.close()
        await self._forget(session_id)
        return result

    async def close(self) -> None:
        """Stop; sessions that are under way wait in Redis for the next process."""
        tasks = [self._sweeper, *self._resuming.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.gather(*(session.close() for session in self._sessions.values()))
        self._sessions.clear()
        await self._lane.aclose()

    def _refuse_more(self) -> None:
        if len(self._sessions) + len(self._resuming) >= self.limit:
            message = f"There are {self.limit} sessions already; end one, or wait"
            raise ApiError(429, "too_many_sessions", message, headers={"Retry-After": "5"})

    def _session(self, session_id: str, state: SessionState) -> StreamSession:
        engines = self._transcriber.engines
        voice = engines.vad.open_stream()
        expected = self._transcriber.expected_language
        return StreamSession(session_id, engines.stt, voice, self._lane, self._redis, self.ttl_s, state, expected)

    async def _resume(self, session_id: str) -> StreamSession | None:
        """Take a session up from Redis, once, however many ask for it at the same time."""
        task = self._resuming.get(session_id)
        if task is None:
            task = self._resuming[session_id] = asyncio.create_task(self._found(session_id))
            task.add_done_callback(lambda _: self._resuming.pop(session_id, None))
        return await asyncio.shield(task)

    async def _found(self, session_id: str) -> StreamSession | None:
        found = await find(self._redis(), session_id)
        if found is None:
            return None
        if len(self._sessions) >= self.limit:
            self._refuse_more()
        state, chunks = found
        session = self._session(session_id, state)
        await session.resume(chunks, state.begins_at)
        self._sessions[session_id] = session
        self.resumed += 1
        log.info("a stream is taken up again", session_id=session_id)
        return session

    def _record(self, session_id: str, result: Result) -> None:
        self._transcriber.done += 1
        self._transcriber.write(
            AudioTranscription(
                session_id,
                result.text,
                result.language,
                result.confidence,
                round(result.duration_s * 1000),
                self._transcriber.engines.stt.model,
                segments=tuple(segment_json(segment) for segment in result.segments),
            )
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self.ttl_s / 4, 5.0))
            now = time.monotonic()
            for session_id, session in list(self._sessions.items()):
                if now - session.used > self.ttl_s and not session.finishing:
                    del self._sessions[session_id]
                    self.expired += 1
                    log.info("an abandoned stream is dropped", session_id=session_id)
                    await session.close()
                    await self._forget(session_id)

    async def _forget(self, session_id: str) -> None:
        redis = self._redis()
        if redis is not None:
            # Without Redis, its keys run out by themselves.
            with contextlib.suppress(StoreUnavailableError):
                await redis.forget_stream(session_id)

    def _redis(self) -> RedisTier | None:
        return self._memory.stream_redis()


def _theirs(owner: str, who: Principal) -> bool:
    return owner in ("", who.id) or who.may("admin")


SESSIONS: web.AppKey[StreamSessions] = web.AppKey("stream_sessions", StreamSessions)
