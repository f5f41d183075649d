"""Speech to text by Whisper on CTranslate2 (https://github.com/SYSTRAN/faster-whisper), tuned for single turns.

Without timestamps, greedy in English and by two hypotheses in other languages: one pass, one answer. The encoder's cost
grows with its window, and CTranslate2 takes windows shorter than Whisper's 30 s, so the first window is the speech and
some seconds of silence behind it (`WindowChoice`). With too little of it the decoder does not find the end and says the
sentence again; how little is too little differs with processor, voice and codec. So the words of every window are
checked (`doubt_about`), and doubted audio is heard again: with timestamps, which tell the decoder where it is, then on
longer windows, at last in float32.

The silence is what Whisper's own front end makes of digital silence. Zeros in feature space, as faster-whisper pads,
cost words: on 16 turns of a lecture 6.7 % disagree with beam 5 on full windows instead of 5.9 %. In English most of it
is not encoded at all: `encoded_silence`.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import structlog
from ctranslate2 import StorageView

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.protocols import EngineUnavailableError, Transcript, VoiceActivityDetector
from pipeline.engines.stt.runtime import Runtime
from pipeline.engines.stt.spoken_language import LanguageChoice
from pipeline.engines.stt.transcript_doubts import Doubt, audible_seconds
from pipeline.engines.stt.whisper_batches import MOST
from pipeline.engines.stt.whisper_encoder import WhisperEncoder
from pipeline.engines.stt.whisper_pieces import Question, Rung, TranscriptPiece, agree, joined, least_bad, rungs
from pipeline.engines.stt.whisper_reading import (
    BEAMS,
    LOW_CONFIDENCE,
    NO_SPEECH,
    READ_AGAIN,
    judged,
    most_tokens,
    read,
    start_of,
)
from pipeline.engines.stt.whisper_weights import computing_on, load_whisper, place_whisper, require_files
from pipeline.engines.stt.window_choice import (
    DEFAULT_PADDING_S,
    FULL_PADDING_S,
    PLAIN_PADDING_S,
    WindowChoice,
    known_silence_s,
)
from pipeline.engines.stt.windows import split_at_quiet_points
from pipeline.engines.stt.word_alignment import aligned, shifted
from pipeline.engines.vad.voice_check import holds_voice
from pipeline.processor import return_free_memory
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket, Urgency

if TYPE_CHECKING:
    from pipeline.engines.stt.quick_english import QuickEnglish

_SHORTEST = HEARING_RATE // 50

log = structlog.get_logger(__name__)


class FasterWhisper:
    """Whisper behind `pipeline.engines.protocols.SpeechToText`.

    Args:
        folder: a converted model: `model.bin`, `config.json`, `tokenizer.json`.
        lanes: transcriptions at the same time; they share the weights. On a GPU as many as it hears in one batch.
        threads: inside one transcription. CTranslate2 fixes them when it loads the weights, so that each transcription
            waits for as many cores (`pipeline.scheduling.core_budget`), and those that can wait hold as many too.
        device: "cpu", "cuda", or "auto" for a GPU that works.
        compute_type: as CTranslate2 names them; "auto": int8 on the CPU, float16 on a GPU.
        padding_s: silence in the encoder's first window, seconds, to begin with; on a GPU it is the full window.
        languages: ISO 639-1 codes among which to detect; empty for all.
        vad: tells voice from noise where Whisper itself doubts that there is speech.
        capacity: transcriptions that may wait.
        runtime: what hears English on its first window: "onnx" on the CPU, see `whisper_onnx`; "ctranslate2".
        cache: where weights are kept as other runtimes read them; None to convert them anew.

    Attributes:
        window: the silence in first windows.
        compute_type: as CTranslate2 names them; `reload` changes it, and the threads.
        threads: inside one transcription.
        device: "cpu" or "cuda".
        folder, cache: of the model, and where its weights are kept as other runtimes read them.
        heard: how many windows were heard ("windows"), how many again ("again"), and the doubts by name.

    Raises:
        EngineUnavailableError: the model is missing or broken.
    """

    name = "faster-whisper"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(
        self,
        folder: Path,
        *,
        lanes: int = 1,
        threads: int = 1,
        device: str = "cpu",
        compute_type: str = "int8",
        padding_s: float = DEFAULT_PADDING_S,
        languages: Sequence[str] = (),
        vad: VoiceActivityDetector | None = None,
        capacity: int = 256,
        runtime: Runtime = "ctranslate2",
        cache: Path | None = None,
    ) -> None:
        require_files(folder)
        self.folder, self.model = folder, folder.name
        self.heard: Counter[str] = Counter()
        self._vad = vad
        self.threads, self._lanes = threads, lanes
        self._precise: WhisperEncoder | None = None
        self._loading = threading.Lock()
        self._languages = frozenset(languages)
        self._tokenizers: dict[str, Any] = {}
        self.lane = Lane(self.name, workers=lanes, capacity=capacity, threads=threads)
        load = partial(place_whisper, folder, lanes, threads, device, compute_type)
        try:
            # In the lane, because CTranslate2's own threads inherit the niceness of the thread that starts them.
            (whisper, self._vocabulary), self._placement = self.lane.call(load)
        except EngineUnavailableError:
            self.lane.close()
            raise
        self.device = self._placement.device
        self.compute_type = computing_on(self.device, compute_type)
        self.lane = self.lane.among(slots_of(self.device), workers=MOST)
        self.window = WindowChoice(padding_s if self.device == "cpu" else FULL_PADDING_S)
        self._encoder = WhisperEncoder(whisper)
        self.cache = cache
        self._quick: QuickEnglish | None = None
        if runtime == "onnx" and self.device == "cpu":
            try:
                self._quick = self.lane.call(partial(self._load_quick, threads))
            except EngineUnavailableError as error:
                log.warning("speech to text stays with CTranslate2", model=self.model, problem=str(error))
        # Asked for once: an unloaded model does not answer.
        self._multilingual: bool = whisper.is_multilingual

    async def transcribe(
        self,
        audio: Waveform,
        ticket: Ticket,
        *,
        language: str | None = None,
        prior: str | None = None,
        prompt: str = "",
        word_timestamps: bool = False,
        retry: bool = True,
    ) -> Transcript:
        """Transcribe one stretch of speech.

        Audio of more than 30 s is cut at quiet points; each window is a job of its own, so that more urgent work comes
        in between, and is prompted with the text of the one before.

        Args:
            audio: 16 kHz, shape (n,).
            ticket: place in the lane.
            language: ISO 639-1 code (a region after it is ignored), None to detect.
            prior: ISO 639-1 code that is expected where `language` is None.
            prompt: text that came just before, for names and style.
            word_timestamps: whether `Transcript.words` is wanted; costs about one decoder step.
            retry: whether doubted words are heard again on longer windows.

        Raises:
            ValueError: the model does not know the language.
        """
        code = self._language_code(language)
        pieces: list[TranscriptPiece] = []
        offset = 0.0
        for window in split_at_quiet_points(audio):
            if window.size >= _SHORTEST:
                before = pieces[-1].text if pieces and pieces[-1].text else prompt
                expected = pieces[-1].language.code if pieces else prior and prior.split("-")[0].lower()
                voice = cache(partial(holds_voice, self._vad, window)) if self._vad is not None else None
                question = Question(window, code, expected, before, offset, word_timestamps, voice, drafted=True)
                pieces.append(await self._understand(question, ticket, retry))
            offset += window.size / HEARING_RATE
        given = code or ("en" if prior is None else prior)
        return joined(pieces, given, audio.size / HEARING_RATE)

    async def hear_once(
        self, audio: Waveform, ticket: Ticket, *, padding_s: float | None, language: str | None = None
    ) -> Transcript:
        """Transcribe at most 30 s on one window, and leave it at that, to compare windows by.

        Args:
            audio: 16 kHz, shape (n,).
            ticket: place in the lane.
            padding_s: silence behind the speech, seconds; None for the full window.
            language: ISO 639-1 code, None to detect.
        """
        question = Question(audio, self._language_code(language), None, "", 0.0, False)
        rung = Rung(padding_s, self._known_s(padding_s), timestamps=False)
        piece = await self.lane.run(partial(self._hear, question, rung), ticket)
        return joined([piece], piece.language.code, question.seconds)

    @property
    def configuration(self) -> dict[str, Any]:
        """What was chosen for this machine, for health."""
        chosen = {"compute_type": self.compute_type, "threads": self.threads, **self._placement.configuration}
        return {**chosen, "padding_s": self.window.padding_s, "runtime": self.runtime}

    @property
    def runtime(self) -> Runtime:
        """What hears English on its first window."""
        return "ctranslate2" if self._quick is None else "onnx"

    async def reload(self, compute_type: str, threads: int = 1) -> None:
        """Compute otherwise from now on. The weights as they were are let go once nothing is heard with them.

        Args:
            compute_type: as CTranslate2 names them.
            threads: inside one transcription.

        Raises:
            EngineUnavailableError: the weights cannot be loaded so; nothing has changed.
        """
        if (compute_type, threads) == (self.compute_type, self.threads):
            return
        load = partial(load_whisper, self.folder, self._lanes, threads, self.device, compute_type)
        try:
            whisper, _ = await self.lane.run(load, Ticket(Urgency.FIRST_AUDIO))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EngineUnavailableError(f"{self.model} cannot be loaded in {compute_type}: {error}") from error
        encoder, quick = WhisperEncoder(whisper), self._quick
        if quick is not None and threads != self.threads:
            quick = await self.lane.run(partial(self._load_quick, threads), Ticket(Urgency.FIRST_AUDIO))
        self._encoder, self._quick, self._precise = encoder, quick, None
        self.compute_type, self.threads = compute_type, threads
        if self.device == "cpu":
            self.lane.threads = threads
        await self.lane.run(self._prepare, Ticket(Urgency.FIRST_AUDIO))
        return_free_memory()

    async def change_runtime(self, runtime: Runtime) -> None:
        """Hear English otherwise from now on.

        Args:
            runtime: see `FasterWhisper`.

        Raises:
            EngineUnavailableError: it cannot be loaded; nothing has changed.
        """
        if runtime == self.runtime:
            return
        quick = None
        if runtime == "onnx":
            quick = await self.lane.run(partial(self._load_quick, self.threads), Ticket(Urgency.FIRST_AUDIO))
        self._quick = quick
        await self.lane.run(self._prepare, Ticket(Urgency.FIRST_AUDIO))
        return_free_memory()

    def _load_quick(self, threads: int) -> "QuickEnglish":
        # In here, because onnxruntime takes long to load and starts a thread, and a command line needs neither.
        from pipeline.engines.stt.quick_english import QuickEnglish

        return QuickEnglish.load(self.folder, self._vocabulary, threads=threads, cache=self.cache)

    def _prepare(self) -> None:
        """Encode the known silence, if first windows have some."""
        if not self._known_s(self.window.padding_s):
            return
        if self._quick is not None:
            self._quick.model.prepare()
        else:
            self._encoder.silence.prepare()

    async def warm_up(self) -> None:
        """Transcribe half a second of noise."""
        await self.lane.run(self._prepare, Ticket())
        noise = np.random.default_rng(0).normal(0, 0.01, HEARING_RATE // 2).astype(np.float32)
        await self.transcribe(noise, Ticket())

    async def close(self) -> None:
        """Stop the lane and give the memory of the weights back."""
        await self.lane.aclose()
        self._encoder.model.unload_model()
        self._quick = None

    def _language_code(self, language: str | None) -> str | None:
        if not self._multilingual:
            return "en"
        if language is None:
            return None
        code = language.split("-")[0].lower()
        if self._vocabulary.token_to_id(f"<|{code}|>") is None:
            raise ValueError(f"{self.model} does not know the language {language!r}")
        return code

    async def _understand(self, question: Question, ticket: Ticket, retry: bool) -> TranscriptPiece:
        """The words of one window, heard again while they are doubted; each time is a job of its own."""
        found: list[TranscriptPiece] = []
        voiced = True
        for rung in self._rungs(question):
            piece, voiced = await self.lane.run(partial(self._hear_with_voice, question, rung), ticket)
            unsure = piece.no_speech > NO_SPEECH and piece.confidence < LOW_CONFIDENCE
            if rung.known_s and retry and (unsure or not piece.text):
                # The full window, too, makes nothing of a short word now and then; 8 s by themselves do.
                piece = replace(piece, doubt=Doubt.EMPTY)
            self._count(piece, again=bool(found))
            if piece.doubt is None or (voiced and agree(piece, found)):
                return replace(piece, doubt=None)
            found.append(piece)
            if not retry:
                return piece
            if piece.doubt is not Doubt.EMPTY and not voiced:
                break
            # What stands before the words can pull them towards it.
            question = replace(question, prompt="")
            log.info("words are heard again", doubt=piece.doubt.value, padding_s=rung.padding_s, model=self.model)
        return least_bad(found) if voiced else replace(found[-1], text="", words=(), doubt=None)

    def _hear_with_voice(self, question: Question, rung: Rung) -> tuple[TranscriptPiece, bool]:
        """One window, and whether somebody speaks in it; in the lane, since searching 30 s takes 0.1 s."""
        piece = self._hear(question, rung)
        return piece, piece.doubt is None or question.holds_voice(otherwise=True)

    def _rungs(self, question: Question) -> Iterator[Rung]:
        """The ways to hear, from the quickest to the surest."""
        first = self.window.padding_s
        expected = question.language or question.prior or "en"
        if self._known_s(first) and expected != "en":
            first = PLAIN_PADDING_S
        precise = self.device == "cpu" and self.compute_type != "float32"
        return rungs(Rung(first, self._known_s(first)), question.seconds, precise=precise)

    def _count(self, piece: TranscriptPiece, *, again: bool) -> None:
        self.heard["again" if again else "windows"] += 1
        if piece.doubt is not None:
            self.heard[piece.doubt.value] += 1
        if not again and piece.text:
            self.window.heard(piece.doubt is Doubt.REPEATED)

    def _known_s(self, padding_s: float | None) -> float:
        """Seconds of known silence behind a window with so much of its own; not on a GPU, which encodes in no time."""
        return known_silence_s(padding_s) if self.device == "cpu" else 0.0

    def _hear(self, question: Question, rung: Rung) -> TranscriptPiece:
        """One window, in the lane."""
        quick = self._quick
        if quick is None or not rung.known_s or question.words:
            return self._hear_with_ctranslate2(question, rung)
        tokenizer, audible_s = self._tokenizer("en"), audible_seconds(question.audio)
        heard = quick.hear(question, rung, self._languages, tokenizer)
        if heard is None:
            return self._hear_with_ctranslate2(question, replace(rung, padding_s=PLAIN_PADDING_S, known_s=0.0))
        piece, tokens = judged(heard.reading, question, tokenizer, heard.language, audible_s, timestamps=False)
        if piece.doubt in READ_AGAIN and rung.timestamps:
            encoded = self._encoder.silence.behind(StorageView.from_array(heard.states[None]), rung.known_s)
            return self._read(self._encoder.model, encoded, question, heard.language, audible_s, True)[0]
        if piece.doubt is None:
            quick.keep(question, tokens)
        return piece

    def _hear_with_ctranslate2(self, question: Question, rung: Rung) -> TranscriptPiece:
        encoder = self._encoder if not rung.precise else self._in_float32()
        encoded, language = encoder.encode_and_name(question, rung, self._languages)
        model = encoder.model
        audible_s = audible_seconds(question.audio)
        for timestamps in (False, True) if rung.timestamps else (False,):
            piece, tokens = self._read(model, encoded, question, language, audible_s, timestamps)
            if piece.doubt not in READ_AGAIN:
                break
        if question.words and piece.text:
            timed = aligned(model, encoded, self._tokenizer(language.code), tokens, question.audio)
            return replace(piece, words=shifted(timed, question.offset))
        return piece

    def _in_float32(self) -> WhisperEncoder:
        """The model as it was trained: loaded when it is first needed, kept from then on."""
        with self._loading:
            if self._precise is None:
                self._precise = WhisperEncoder(load_whisper(self.folder, 1, self.threads, self.device, "float32")[0])
        return self._precise

    def _read(
        self, model: Any, encoded: Any, question: Question, language: LanguageChoice, audible_s: float, timestamps: bool
    ) -> tuple[TranscriptPiece, list[int]]:
        """The words of an encoding by CTranslate2, and their tokens."""
        tokenizer = self._tokenizer(language.code)
        start, beams = start_of(question, tokenizer, timestamps=timestamps), 1 if language.code == "en" else BEAMS
        reading = read(model, encoded, start, most_tokens(question), beams)
        return judged(reading, question, tokenizer, language, audible_s, timestamps=timestamps)

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._vocabulary, self._multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]
