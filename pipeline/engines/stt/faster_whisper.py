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
from typing import Any, Literal

import numpy as np
import structlog

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import HOP
from pipeline.engines.protocols import EngineUnavailableError, Transcript, VoiceActivityDetector, Word
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.spoken_language import (
    LanguageChoice,
)
from pipeline.engines.stt.transcript_doubts import Doubt, audible_seconds, doubt_about
from pipeline.engines.stt.whisper_encoder import WhisperEncoder
from pipeline.engines.stt.whisper_pieces import Question, Rung, TranscriptPiece, agree, joined, least_bad, within_audio
from pipeline.engines.stt.whisper_weights import load_whisper, require_files
from pipeline.engines.stt.window_choice import DEFAULT_PADDING_S, PLAIN_PADDING_S, WindowChoice, known_silence_s
from pipeline.engines.stt.windows import split_at_quiet_points
from pipeline.engines.stt.word_alignment import align_words
from pipeline.engines.vad.voice_check import holds_voice
from pipeline.processor import return_free_memory
from pipeline.scheduling.lanes import Lane, Ticket, Urgency

_SHORTEST = HEARING_RATE // 50
_PROMPT_TOKENS = 96
_TOKENS_PER_SECOND = 10
_SPARE_TOKENS = 16
_MOST_TOKENS = 224
# Speech down to -3 dB of signal to noise or 34 dB below full level gave at most 0.45; silence, hum, breath, clicks and
# noise gave 0.6 to 0.93 and a confidence of at most 0.6.
_NO_SPEECH = 0.6
_LOW_CONFIDENCE = 0.7


_LONGER_S = (PLAIN_PADDING_S, 15.0)
"""Silence behind the speech in the windows that come after a doubted first one, before the full 30 s."""

_BEAM = 2
"""Hypotheses side by side in languages other than English. There the model is less sure of a token, and greedy decoding
goes astray on windows of any length: of 15 clips, heard some five times with noise or a shift, 22.4 % of the words
came out wrong, with two hypotheses 18.7 %, with five 18.4 %, with five on 30 s windows 18.3 %. Two cost 7 % of the
decoder's time, five 44. English has 30 wrong words of 656 without, 28 with two, 25 with five, which cost half of the
whole time more.
"""

log = structlog.get_logger(__name__)


class FasterWhisper:
    """Whisper behind `pipeline.engines.protocols.SpeechToText`.

    Args:
        folder: a converted model: `model.bin`, `config.json`, `tokenizer.json`.
        lanes: transcriptions that run at the same time; they share the weights.
        threads: inside one transcription. CTranslate2 fixes them when it loads the weights, so that each transcription
            waits for as many cores (`pipeline.scheduling.core_budget`), and those that can wait hold as many too.
        device: "cpu" or "cuda".
        compute_type: as CTranslate2 names them.
        padding_s: silence behind the speech in the encoder's first window, seconds, to begin with.
        languages: ISO 639-1 codes among which to detect; empty for all.
        vad: tells voice from noise where Whisper itself doubts that there is speech.
        capacity: transcriptions that may wait.

    Attributes:
        window: the silence in first windows.
        compute_type: as CTranslate2 names them; `reload` changes it, and the threads.
        threads: inside one transcription.
        device: "cpu" or "cuda".
        folder: of the model.
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
    ) -> None:
        require_files(folder)
        self.model = folder.name
        self.window = WindowChoice(padding_s)
        self.heard: Counter[str] = Counter()
        self.folder = folder
        self._vad = vad
        self.device, self.compute_type, self.threads, self._lanes = device, compute_type, threads, lanes
        self._precise: WhisperEncoder | None = None
        self._loading = threading.Lock()
        self._languages = frozenset(languages)
        self._tokenizers: dict[str, Any] = {}
        self.lane = Lane(self.name, workers=lanes, capacity=capacity, threads=threads if device == "cpu" else 1)
        try:
            # In the lane, because CTranslate2's own threads inherit the niceness of the thread that starts them.
            whisper, self._vocabulary = self.lane.call(
                lambda: load_whisper(folder, lanes, threads, device, compute_type)
            )
        except Exception as error:  # a broken model shows as RuntimeError, ValueError or a plain Exception
            self.lane.close()
            remedy = "run `morgan models verify` and pull it again"
            if device != "cpu":
                remedy = "check its driver, cuBLAS and cuDNN, or set the device to cpu"
            raise EngineUnavailableError(f"{folder} cannot be loaded on {device} ({error}): {remedy}") from error
        self._encoder = WhisperEncoder(whisper)
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
                question = Question(window, code, expected, before, offset, word_timestamps, voice)
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
        return {"compute_type": self.compute_type, "threads": self.threads, "padding_s": self.window.padding_s}

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
        encoder = WhisperEncoder(whisper)
        if self._known_s(self.window.padding_s):
            await self.lane.run(encoder.silence.prepare, Ticket(Urgency.FIRST_AUDIO))
        self._encoder, self._precise = encoder, None
        self.compute_type, self.threads = compute_type, threads
        if self.device == "cpu":
            self.lane.threads = threads
        return_free_memory()

    async def warm_up(self) -> None:
        """Transcribe half a second of noise."""
        if self._known_s(self.window.padding_s):
            await self.lane.run(self._encoder.silence.prepare, Ticket())
        noise = np.random.default_rng(0).normal(0, 0.01, HEARING_RATE // 2).astype(np.float32)
        await self.transcribe(noise, Ticket())

    async def close(self) -> None:
        """Stop the lane and give the memory of the weights back."""
        await self.lane.aclose()
        self._encoder.model.unload_model()

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
            unsure = piece.no_speech > _NO_SPEECH and piece.confidence < _LOW_CONFIDENCE
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
        yield Rung(first, self._known_s(first))
        longest = LONGEST_FRAMES * HOP / HEARING_RATE - question.seconds
        for padding in _LONGER_S:
            if first < padding < longest:
                yield Rung(padding)
        yield Rung(None)
        if self.device == "cpu" and self.compute_type != "float32":
            yield Rung(None, precise=True)

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
        encoder = self._encoder if not rung.precise else self._in_float32()
        encoded, language = encoder.encode_and_name(question, rung, self._languages)
        model = encoder.model
        tokenizer = self._tokenizer(language.code)
        audible_s = audible_seconds(question.audio)
        for timestamps in (False, True) if rung.timestamps else (False,):
            piece, tokens = self._decode(model, encoded, tokenizer, question, language, audible_s, timestamps)
            # An encoding is two thirds of the work: where the words do not fit the time, they are read from it anew.
            if piece.doubt not in (Doubt.REPEATED, Doubt.TOO_FAST, Doubt.ENDLESS):
                break
        if question.words and piece.text:
            return replace(piece, words=self._align(model, encoded, tokenizer, tokens, question))
        return piece

    def _in_float32(self) -> WhisperEncoder:
        """The model as it was trained: loaded when it is first needed, kept from then on."""
        with self._loading:
            if self._precise is None:
                self._precise = WhisperEncoder(load_whisper(self.folder, 1, self.threads, self.device, "float32")[0])
        return self._precise

    def _decode(
        self,
        model: Any,
        encoded: Any,
        tokenizer: Any,
        question: Question,
        language: LanguageChoice,
        audible_s: float,
        timestamps: bool,
    ) -> tuple[TranscriptPiece, list[int]]:
        start = [*tokenizer.sot_sequence, *([] if timestamps else [tokenizer.no_timestamps])]
        prompt = question.prompt.strip()
        if prompt:
            start = [tokenizer.sot_prev, *tokenizer.encode(" " + prompt)[-_PROMPT_TOKENS:], *start]
        most = min(_MOST_TOKENS, int(question.seconds * _TOKENS_PER_SECOND) + _SPARE_TOKENS)
        (result,) = model.generate(
            encoded,
            [start],
            beam_size=1 if language.code == "en" else _BEAM,
            # CTranslate2 stops at the lesser of half of this and this less the prompt.
            max_length=max(2 * most, most + len(start)),
            suppress_blank=True,
            suppress_tokens=[-1],
            return_scores=True,
            return_no_speech_prob=True,
        )
        said = result.sequences_ids[0]
        tokens = within_audio(said, tokenizer.timestamp_begin, question.seconds) if timestamps else list(said)
        # CTranslate2 divides the sum by the number of tokens, end mark left out.
        log_probability = result.scores[0] * max(1, len(said))
        ended = len(said) < most
        piece = TranscriptPiece("", language, float(result.no_speech_prob), log_probability, len(said), ended=ended)
        speech = piece.no_speech <= _NO_SPEECH or question.holds_voice(otherwise=False)
        text = tokenizer.decode(tokens).strip()
        if not any(character.isalnum() for character in text):
            return replace(piece, doubt=Doubt.EMPTY if speech else None), tokens
        if not speech and piece.confidence < _LOW_CONFIDENCE:
            # Whisper says "you" or "Thank you" to silence; it doubts itself then, and doubts that there was speech.
            return piece, tokens
        doubt = doubt_about(text, audible_s, language=language.code, speech=speech, ended=ended, prompt=prompt)
        return replace(piece, text=text, doubt=doubt), tokens

    def _align(
        self, model: Any, encoded: Any, tokenizer: Any, tokens: list[int], question: Question
    ) -> tuple[Word, ...]:
        frames = min(LONGEST_FRAMES, -(-question.audio.size // HOP))
        (result,) = model.align(encoded, tokenizer.sot_sequence, [tokens], frames, median_filter_width=7)
        words, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
        timed = align_words(words, groups, result.alignments, question.audio)
        offset = question.offset
        return tuple(Word(word.text, round(offset + word.start, 3), round(offset + word.end, 3)) for word in timed)

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._vocabulary, self._multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]
