"""Transcribes what clients upload, at a pace that keeps out of the way of calls."""

import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import structlog
from aiohttp import web

from media.audio_file import AudioFileError, NoAudioError, UnknownFormatError
from media.decoder_pool import DecodedAudio, DecoderBusyError, DecoderPool
from persistence.errors import InvalidTextError
from persistence.values import AudioTranscription
from pipeline.audio import HEARING_RATE, Pcm, Waveform
from pipeline.engines.protocols import EngineError, Engines
from pipeline.scheduling.lanes import Lane, LaneClosedError, LaneFullError, Ticket
from pipeline.text.languages import CODES
from pipeline.transcription.recording import PIECE_S, RecordingTranscription
from pipeline.transcription.segments import Segment, whole_confidence, whole_text
from server.http.errors import ApiError
from server.memory.door import MemoryDoor
from server.transcription.uploads import Upload

log = structlog.get_logger(__name__)

FAILURES = (EngineError, LaneFullError, LaneClosedError)
"""What an engine raises when there is no transcript."""

AUTO = "auto"
"""Language that stands for: detect it."""


class Transcription:
    """One upload on its way to text.

    Args:
        work: what transcribes it.
        source: its audio; closed at the end.
        sha256: of what was uploaded, hex.
        ticket: place in all lanes.
        longest_s: audio that is taken at most, seconds.
    """

    def __init__(
        self, work: RecordingTranscription, source: DecodedAudio, sha256: str, ticket: Ticket, longest_s: int
    ) -> None:
        self.sha256 = sha256
        self._work = work
        self._source = source
        self._ticket = ticket
        self._longest_s = longest_s

    @property
    def segments(self) -> list[Segment]:
        """Segments found until now."""
        return self._work.segments

    @property
    def text(self) -> str:
        """All words found until now."""
        return whole_text(self._work.segments)

    @property
    def language(self) -> str | None:
        """The language, where one was asked for or heard."""
        return self._work.language

    @property
    def unclear(self) -> bool:
        """Whether there was speech whose words could not be made out."""
        return self._work.unclear

    @property
    def confidence(self) -> float | None:
        """Between 0 and 1; None without any words."""
        confidence = whole_confidence(self._work.segments)
        return None if confidence is None else round(confidence, 4)

    @property
    def duration_s(self) -> float:
        """Audio that was read, seconds."""
        return round(self._work.duration_s, 3)

    async def run(self) -> AsyncGenerator[Segment, None]:
        """The segments, as they are found; closing the generator ends the work.

        Raises:
            ApiError: 413 too long, 422 it cannot be decoded, 503 the engine could not.
        """
        try:
            async with aclosing(self._pieces()) as pieces, aclosing(self._work.run(pieces)) as segments:
                async for segment in segments:
                    yield segment
        except AudioFileError as error:
            raise unreadable(error) from None
        except FAILURES as error:
            raise no_transcript(error) from None
        finally:
            self.close()

    def close(self) -> None:
        """End the work, also where it never began to run."""
        self._ticket.cancel()
        self._source.close()

    async def finish(self) -> "Transcription":
        """Run to the end; errors as `run`."""
        async with aclosing(self.run()) as segments:
            async for _ in segments:
                pass
        return self

    async def _pieces(self) -> AsyncGenerator[Pcm, None]:
        taken = 0
        while (pcm := await self._source.read(PIECE_S * HEARING_RATE)).size:
            taken += pcm.size
            if taken > self._longest_s * HEARING_RATE:
                raise too_long(self._longest_s)
            yield pcm


class Transcriber:
    """What the routes share: decoders, a lane to find speech in, and the engine.

    Args:
        engines: speech to text and voice activity.
        memory: where transcriptions are written down.
        default_language: of clients who do not say; None to detect.
        languages: ISO 639-1 codes that the speech may be in, the likeliest first; empty for any.
        longest_s: audio that is taken at most, seconds.
        decoders: of what is uploaded.

    Attributes:
        expected_language: what clients likely speak who do not say; None for no idea.
        done: transcriptions since the start.
    """

    def __init__(
        self,
        engines: Engines,
        memory: MemoryDoor,
        default_language: str | None,
        languages: tuple[str, ...],
        longest_s: int,
        decoders: DecoderPool,
    ) -> None:
        self.expected_language = default_language or next(iter(languages), None)
        self.done = 0
        self.engines = engines
        self._memory = memory
        self._default_language = default_language
        # Where there is but one there is nothing to detect.
        self._only = languages[0] if len(languages) == 1 else None
        self._longest_s = longest_s
        self._lane = Lane("uploads")
        self._decoders = decoders
        self._known_languages: set[str] = set()

    async def close(self) -> None:
        """Stop the lane."""
        await self._lane.aclose()

    async def language(self, wanted: str | None) -> str | None:
        """What to tell the engine for a language that a client asks for: None to detect.

        Raises:
            ApiError: 422, the engine does not know it.
        """
        code = self._default_language
        if wanted:
            told = wanted.strip().lower()
            # As `verbose_json` tells it: what it told is sent back with the next file.
            code = CODES.get(told) or told.partition("-")[0]
        if code is None or code == AUTO:
            return self._only
        if code not in self._known_languages:
            try:
                # Of no audio at all: the engine looks at the language only.
                await self.engines.stt.transcribe(_NOTHING, Ticket(), language=code)
            except ValueError:
                details = [{"field": "language", "message": "unknown language"}]
                message = (
                    f"language: {self.engines.stt.model} does not know {code[:20]!r}; give an ISO 639-1 code or auto"
                )
                raise ApiError(422, "unknown_language", message, details) from None
            except FAILURES as error:
                raise no_transcript(error) from None
            self._known_languages.add(code)
        return code

    async def begin(
        self,
        upload: Upload,
        *,
        language: str | None = None,
        expected: str | None = None,
        prompt: str = "",
        longest_s: int | None = None,
    ) -> Transcription:
        """Open an upload for transcription.

        Args:
            upload: the audio.
            language: as `language` returned it.
            expected: what it is likely to be in, where more is known than of others.
            prompt: what was said before.
            longest_s: audio that is taken at most, where that is less than usual.

        Raises:
            ApiError: 413 too long, 415 no known format, 422 it cannot be read, 503 busy.
        """
        ticket, longest = Ticket(), min(longest_s or self._longest_s, self._longest_s)
        try:
            sha256 = await self._lane.run(lambda: hashlib.sha256(upload.data).hexdigest(), ticket)
            source = await self._decoders.open(upload.data, HEARING_RATE, pcm_rate=upload.rate, longest_s=longest)
        except AudioFileError as error:
            raise unreadable(error) from None
        except DecoderBusyError:
            raise busy() from None
        except FAILURES as error:
            raise no_transcript(error) from None
        if source.expected_s is not None and source.expected_s > longest + 1:
            source.close()
            raise too_long(longest)
        work = RecordingTranscription(
            self.engines.stt,
            self.engines.vad,
            self._lane,
            ticket,
            language=language,
            expected=expected or self.expected_language,
            prompt=prompt,
        )
        return Transcription(work, source, sha256, ticket, longest)

    def record(self, done: Transcription) -> None:
        """Write a finished transcription down, where there is memory."""
        self.done += 1
        self.write(
            AudioTranscription(
                f"upload_{secrets.token_hex(8)}",
                done.text,
                done.language,
                done.confidence,
                round(done.duration_s * 1000),
                self.engines.stt.model,
                audio_sha256=done.sha256,
                segments=tuple(segment_json(segment) for segment in done.segments),
            )
        )

    def write(self, done: AudioTranscription) -> None:
        """Write a transcription down, where there is memory."""
        if self._memory.memory is None:
            return
        try:
            self._memory.memory.record_transcription(done)
        except InvalidTextError as error:
            log.warning("a transcription is not kept", problem=str(error), session_id=done.session_id)


TRANSCRIBER: web.AppKey[Transcriber] = web.AppKey("transcriber", Transcriber)

_NOTHING: Waveform = np.zeros(0, np.float32)


def segment_json(segment: Segment, words: bool = False) -> dict[str, object]:
    """A segment as our own routes give it."""
    told: dict[str, object] = {
        "text": segment.text,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "language": segment.language,
        "confidence": round(segment.confidence, 4),
    }
    if words:
        told["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in segment.words]
    return told


def no_transcript(error: Exception) -> ApiError:
    """What the client is told of one of `FAILURES`."""
    if isinstance(error, LaneFullError):
        return busy()
    log.error("no transcript", problem=str(error))
    return ApiError(503, "stt_failed", "The audio could not be transcribed now", headers={"Retry-After": "2"})


def busy() -> ApiError:
    """What a client is told that comes while too many others wait."""
    return ApiError(503, "busy", "Too much audio waits to be transcribed", headers={"Retry-After": "2"})


def unreadable(error: AudioFileError) -> ApiError:
    """What the client is told of audio that cannot be read."""
    details = [{"field": "file", "message": str(error)}]
    match error:
        case UnknownFormatError():
            return ApiError(415, "unsupported_audio", str(error), details)
        case NoAudioError():
            return ApiError(422, "no_audio", str(error), details)
    return ApiError(422, "invalid_audio", str(error), details)


def too_long(longest_s: int) -> ApiError:
    """What the client is told of audio that is too long."""
    return ApiError(413, "audio_too_long", f"The audio may be at most {longest_s} s long; send it in parts")
