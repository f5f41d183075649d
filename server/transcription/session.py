"""A streaming session: takes audio in as it comes, has it transcribed, and tells what is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog

from media.audio_file import PcmStream
from persistence.cache.redis_tier import RedisTier
from persistence.tasks import keep_running
from pipeline.audio import HEARING_RATE, Pcm
from pipeline.engines.protocols import EngineError, SpeechToText, Transcript, VoiceStream
from pipeline.scheduling.lanes import Lane, Ticket, Urgency
from pipeline.transcription.live import MAX_BACKLOG_S, MAX_CHUNK_S, LiveTranscription, Work
from pipeline.transcription.segments import Segment, translates, whole_confidence, whole_text
from server.bounds import MAX_SESSION_S
from server.http.errors import ApiError
from server.observability.background import shielded
from server.transcription.session_store import SessionState, SessionStore
from server.transcription.transcriber import FAILURES, no_transcript

log = structlog.get_logger(__name__)

PARTIAL_WAIT_S = 0.5
"""So long a chunk's answer waits for words that are just being made out, but for half of the chunk's length at most:
who sends in real time must not fall behind."""

ROOM_WAIT_S = 15.0
"""So long a chunk waits while too much of the audio before it is not transcribed yet."""

FINAL_TARGET_S = 1.0
"""An ended stretch should be text by then; interim transcripts and uploads stand behind it."""

HEARING_URGENCY = Urgency.INTERIM
"""Taking audio in steps back for calls; anything more urgent would hold up the transcripts of all sessions."""

ATTEMPTS = 3
RETRY_S = 0.3


@dataclass(frozen=True, slots=True)
class Result:
    """A session that has ended."""

    text: str
    language: str | None
    confidence: float | None
    segments: tuple[Segment, ...]
    duration_s: float
    unclear: bool = False


class StreamSession:
    """One session. All methods run on the event loop.

    Args:
        session_id: its id.
        stt: the engine.
        voice: the stream's voice activity.
        lane: where audio is resampled and searched for speech.
        redis: gives the tier that sessions are kept in, None without memory; memory opens late, so it is asked anew.
        ttl_s: seconds without a sign of life after which it is abandoned.
        state: where it stood, when it is taken up again.
        expected: language that the speech is likely to be in, ISO 639-1; None for no idea.

    Attributes:
        id: its id.
        used: monotonic time of the last sign of life.
        ended: nothing more can be done with it: it was ended, or abandoned.
    """

    def __init__(
        self,
        session_id: str,
        stt: SpeechToText,
        voice: VoiceStream,
        lane: Lane,
        redis: Callable[[], RedisTier | None],
        ttl_s: int,
        state: SessionState,
        expected: str | None = None,
    ) -> None:
        self.id = session_id
        self.owner = state.owner
        self.used = time.monotonic()
        self.ended = False
        self._stt = stt
        self._lane = lane
        self._redis = redis
        self._state = state
        self._store = SessionStore(session_id, ttl_s)
        self._input = PcmStream(state.rate, HEARING_RATE, bytes.fromhex(state.leftover))
        self._sequence = state.sequence
        self._live = LiveTranscription(
            voice,
            language=state.language,
            expected=expected,
            begins_at=state.needed_from,
            past=state.segments,
            unclear=state.unclear,
        )
        self._adding = asyncio.Lock()
        self._hearing = asyncio.Lock()
        self._storing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._in_hand: tuple[Work, Ticket] | None = None
        self._failure: Exception | None = None
        self._ending = False
        self._finishing: asyncio.Task[Result] | None = None
        self._unstored: list[Pcm] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker = keep_running(self._work, f"stream {session_id}")

    # What clients ask for --------------------------------------------------------------------------------------------

    async def add(self, data: bytes, sequence: int | None = None) -> None:
        """Take audio in; it is safe when this returns, and goes on being taken in when the caller leaves.

        Args:
            data: s16le, mono, at the session's rate; half a sample at its end waits for the next chunk.
            sequence: number of the chunk; one that was taken in already is not taken in again.

        Raises:
            ApiError: 409 the session is ending, 413 too much audio, 429 too far ahead, 503 the engine fails.
        """
        self.used = time.monotonic()
        if len(data) > MAX_CHUNK_S * self._state.rate * 2:
            raise ApiError(
                413, "chunk_too_long", f"A chunk may hold at most {MAX_CHUNK_S} s of audio; send smaller ones"
            )
        await self._shielded(self._add(data, sequence))

    async def partial(self, size: int) -> dict[str, object]:
        """What is known; waits a little when words are just being made out.

        Args:
            size: bytes of the chunk that was just added.
        """
        if self._wake.is_set() or self._in_hand is not None:
            await self.wait_for_change(min(PARTIAL_WAIT_S, size / 2 / self._state.rate / 2))
        return self.known()

    def known(self) -> dict[str, object]:
        """What is known now: "partial" stays as it is but for the end of a stretch, "unstable" may change."""
        return {
            "partial": self._live.stable,
            "unstable": self._live.unstable,
            "segments": [
                {
                    "text": segment.text,
                    "start": round(segment.start, 3),
                    "end": round(segment.end, 3),
                    "language": segment.language,
                }
                for segment in self._live.segments
            ],
            "is_speech": self._live.is_speech,
        }

    async def wait_for_change(self, seconds: float | None = None) -> bool:
        """Wait until more is known, or the session is over; returns whether something changed in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def finish(self) -> Result:
        """Transcribe what is left; the same however often it is asked for.

        Raises:
            ApiError: 503 the engine fails; the session stays, and can be ended again.
        """
        self.used = time.monotonic()
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(), name=f"end of stream {self.id}")
        finishing = self._finishing
        try:
            return await asyncio.shield(finishing)
        except FAILURES as error:
            self._finishing = None
            raise no_transcript(error) from None

    @property
    def finished(self) -> bool:
        """Whether its result is known."""
        done = self._finishing
        return done is not None and done.done() and not done.cancelled() and done.exception() is None

    @property
    def finishing(self) -> bool:
        """Whether it is being ended."""
        return self._finishing is not None and not self._finishing.done()

    async def close(self) -> None:
        """Stop working on it, whatever state it is in; what is in Redis stays there."""
        self.ended = True
        self._notify()
        if self._in_hand is not None:
            self._in_hand[1].cancel()
        tasks = [self._worker, *self._tasks, *([self._finishing] if self._finishing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def resume(self, chunks: Sequence[bytes], begins_at: int) -> None:
        """Hear again what another process had taken in, from the first sample that is not text yet."""
        kept = np.frombuffer(b"".join(chunks), "<i2").astype(np.int16)[self._state.needed_from - begins_at :]
        async with self._hearing:
            for start in range(0, kept.size, MAX_CHUNK_S * HEARING_RATE):
                piece = kept[start : start + MAX_CHUNK_S * HEARING_RATE]
                await self._lane.run(partial(self._live.hear, piece), Ticket(HEARING_URGENCY))
        self._unstored.append(kept)
        await self._keep()
        self._wake.set()

    # Audio -----------------------------------------------------------------------------------------------------------

    async def _add(self, data: bytes, sequence: int | None) -> None:
        async with self._adding:
            if self._ending or self.ended:
                raise ApiError(409, "session_ending", "The session is being ended and takes no more audio")
            if sequence is not None and sequence <= self._sequence:
                return
            if self._live.end + len(data) // 2 * HEARING_RATE // self._state.rate > MAX_SESSION_S * HEARING_RATE:
                raise ApiError(413, "session_too_long", f"A session may hold at most {MAX_SESSION_S} s; start another")
            await self._room()
            await self._hear(data)
            self._sequence = self._sequence if sequence is None else sequence
            await self._keep()
            self._wake.set()

    async def _room(self) -> None:
        """Wait until not too much audio is waiting to be transcribed."""
        deadline = time.monotonic() + ROOM_WAIT_S
        while self._live.backlog_s > MAX_BACKLOG_S:
            if self._failure is not None:
                raise no_transcript(self._failure)
            left = deadline - time.monotonic()
            if left <= 0 or not await self.wait_for_change(left):
                message = f"More than {MAX_BACKLOG_S} s of audio wait to be transcribed; send this chunk again later"
                raise ApiError(429, "too_far_ahead", message, headers={"Retry-After": "5"})

    async def _hear(self, data: bytes, last: bool = False) -> None:
        async with self._hearing:
            self._unstored.append(await self._lane.run(partial(self._heard, data, last), Ticket(HEARING_URGENCY)))
        if self._live.has_final_work() and self._in_hand is not None and self._in_hand[0].kind == "interim":
            # Its stretch is over, and the final transcript comes next.
            self._in_hand[1].cancel()

    def _heard(self, data: bytes, last: bool) -> Pcm:
        """In the lane."""
        pcm = self._input.feed(data, last)
        self._live.hear(pcm)
        if last:
            self._live.finish()
        return pcm

    async def _keep(self) -> None:
        async with self._storing:
            added, self._unstored = self._unstored, []
            state = SessionState(
                self._state.language,
                self._state.rate,
                tuple(self._live.segments),
                needed_from=self._live.needed_from,
                leftover=self._input.leftover.hex(),
                sequence=self._sequence,
                unclear=self._live.unclear,
                owner=self.owner,
            )
            await self._store.keep(
                self._redis(),
                state,
                np.concatenate(added) if added else np.zeros(0, np.int16),
                lambda: self._live.kept(state.needed_from),
            )

    # Words -----------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Transcribe one piece after the other, for as long as the session lives."""
        attempts = 0
        while True:
            async with self._hearing:
                work = self._live.next_work(time.monotonic())
            if work is None:
                self._wake.clear()
                self._notify()
                await self._wake.wait()
                continue
            try:
                transcript = await self._transcribe(work)
            except Exception as error:  # whatever an engine raises: who waits for the end has to hear of it
                attempts += 1
                if work.kind == "final":
                    log.warning("a stretch of a stream is not transcribed yet", problem=str(error), attempt=attempts)
                    self._failure = _as_failure(error) if attempts >= ATTEMPTS else None
                    self._notify()
                    await asyncio.sleep(RETRY_S * min(attempts, 20))
                    continue
                transcript = None
            if work.kind == "final":
                attempts, self._failure = 0, None
            self._live.settle(work, transcript, time.monotonic())
            if work.kind == "final":
                await self._keep()
            self._notify()

    async def _transcribe(self, work: Work) -> Transcript | None:
        """The transcript of a piece; None when it was an interim one that nobody needs any more."""
        if work.kind == "final":
            ticket = Ticket(Urgency.INTERIM, time.monotonic() + FINAL_TARGET_S)
        else:
            ticket = Ticket(Urgency.BACKGROUND, time.monotonic() + FINAL_TARGET_S)
        transcript = await self._ask(work, ticket, work.language, work.prompt)
        if transcript is None or work.kind == "interim" or work.language is not None:
            return transcript
        if translates(transcript, work.prior, work.prompt):
            return await self._ask(work, ticket, transcript.language, "")
        return transcript

    async def _ask(self, work: Work, ticket: Ticket, language: str | None, prompt: str) -> Transcript | None:
        """What the engine makes of a piece; None as above."""
        asked = self._stt.transcribe(
            work.audio, ticket, language=language, prior=work.prior, prompt=prompt, retry=work.kind == "final"
        )
        job = asyncio.create_task(asked)
        self._in_hand = (work, ticket)
        try:
            await asyncio.wait({job})
        finally:
            self._in_hand = None
            job.cancel()
        return None if job.cancelled() else job.result()

    async def _finish(self) -> Result:
        async with self._adding:
            if not self._ending:
                self._ending = True
                await self._hear(b"", last=True)
                await self._keep()
        self._failure = None
        self._wake.set()
        while not self._live.settled:
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()
        segments = tuple(self._live.segments)
        confidence = whole_confidence(segments)
        return Result(
            whole_text(segments),
            self._live.language,
            None if confidence is None else round(confidence, 4),
            segments,
            round(self._live.end / HEARING_RATE, 3),
            self._live.unclear,
        )

    # -----------------------------------------------------------------------------------------------------------------

    async def _shielded(self, work: Awaitable[None]) -> None:
        """Do something to its end, even when the request that asked for it is cancelled."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await shielded(task)

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _as_failure(error: Exception) -> Exception:
    """What an engine has raised, as one of the errors by which there is no transcript."""
    return error if isinstance(error, FAILURES) else EngineError(f"{type(error).__name__}: {error}")
