"""Text to speech by Piper (https://github.com/OHF-Voice/piper1-gpl): VITS voices on ONNX, far faster than real time.

The package piper-tts is GPL-3.0 and an optional extra; what is used of it is the phonemizer. The voice itself runs in a
session of our own, on few threads, with the lengths of its phonemes as a second output.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.audio import SPEECH_RATE, to_pcm
from pipeline.engines.device import placed
from pipeline.engines.onnx_session import lacking_cuda
from pipeline.engines.protocols import EngineUnavailableError, SpeechChunk, Voice, Word
from pipeline.engines.tts.espeak import ESPEAK
from pipeline.engines.tts.phoneme_timing import is_sounding, time_words, within
from pipeline.engines.tts.speech_edges import Part, SpeechEdges
from pipeline.engines.tts.vits_decoder import Settled, VitsDecoder
from pipeline.engines.tts.word_timing import estimate_word_times
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket
from pipeline.text.words import SENTENCE_ENDS

_SLOWEST, _FASTEST = 0.25, 4.0
_REFERENCE = "The quick brown fox jumps over the lazy dog."
_REFERENCES = tuple(_REFERENCE[:length] for length in (44, 20, 30, 39, 25))
"""Clauses that a device is tried with."""
_REFERENCE_RMS = 0.1
_HIGHEST_PEAK = 0.9
_SENTENCE_LENGTH, _CLAUSE_LENGTH, _LONGEST = 25, 120, 240
_BREAKS = (
    (_SENTENCE_LENGTH, re.compile(rf"[{''.join(SENTENCE_ENDS)}][\"'”’)\]]*\s+")),
    (_CLAUSE_LENGTH, re.compile(r"[,;:–—]\s+")),
    (_LONGEST, re.compile(r"\s+")),
)


class Piper:
    """Piper behind `pipeline.engines.protocols.TextToSpeech`.

    A voice's id is the name of its file, such as "en_US-joe-medium"; a voice of several speakers has one id each, such
    as "en_US-libritts-high:p3922".

    Args:
        folders: each holds one or more voices, `*.onnx` with `*.onnx.json` beside it. The first voice is the default.
        lanes: clauses that are spoken at the same time; they share the weights.
        threads: threads inside one synthesis.
        capacity: clauses that may wait in the lane.
        default: id of the voice that speaks unasked; the first one if not given.
        device: "cpu", "cuda", or "auto" for the quicker one.

    Raises:
        EngineUnavailableError: piper-tts is not installed, or a voice is missing or broken.
    """

    name = "piper"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(
        self,
        *folders: Path,
        lanes: int = 1,
        threads: int = 1,
        capacity: int = 256,
        default: str | None = None,
        device: str = "cpu",
    ) -> None:
        try:
            import piper.voice  # noqa: F401 - only to see whether it is there
        except ImportError as error:
            raise EngineUnavailableError("the package piper-tts is missing: pip install morgan-voice[piper]") from error
        files = [file for folder in folders for file in sorted(folder.glob("*.onnx"))]
        if not files:
            named = ", ".join(str(folder) for folder in folders)
            raise EngineUnavailableError(f"no Piper voice in {named}: run `morgan models pull`")
        self.lane = Lane(self.name, workers=lanes, capacity=capacity, threads=threads, pausing=True)
        try:
            models = [self.lane.call(partial(_VoiceModel, file, threads, device)) for file in files]
        except BaseException:
            self.lane.close()
            raise
        self._speakers = {speaker.voice.id: speaker for model in models for speaker in model.speakers()}
        self.voices: Sequence[Voice] = tuple(speaker.voice for speaker in self._speakers.values())
        if default is not None and default not in self._speakers:
            self.lane.close()
            raise EngineUnavailableError(f"no Piper voice {default!r}; there are {', '.join(self._speakers)}")
        self.default_voice = default or self.voices[0].id
        self.model = self.default_voice
        self._placement = self._speakers[self.default_voice].model.placement
        devices = {model.placement.device for model in models}
        # A voice on the CPU takes a core whatever the others do.
        self.lane = self.lane.among(slots_of("cpu" if "cpu" in devices else self._placement.device), workers=lanes)

    @property
    def configuration(self) -> dict[str, Any]:
        """Where it computes, for health."""
        return self._placement.configuration

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence; long text goes out sentence by sentence.

        Args:
            text: plain words, already made speakable.
            ticket: place in the lane.
            voice: an id of `voices`, None for the default.
            speed: 1 is natural, 2 twice as fast; 0.25 to 4.

        Raises:
            ValueError: unknown voice, or a speed out of range.
        """
        speaker = self._speakers.get(voice or self.default_voice)
        if speaker is None:
            raise ValueError(f"unknown voice {voice!r}; known are {', '.join(self._speakers)}")
        if not _SLOWEST <= speed <= _FASTEST:
            raise ValueError(f"speed must lie between {_SLOWEST} and {_FASTEST}, not {speed}")
        return self.lane.stream(lambda: speaker.say(text, speed), ticket)

    async def warm_up(self) -> None:
        """Say a word in the default voice."""
        async for _ in self.synthesize("Ready.", Ticket()):
            pass

    async def close(self) -> None:
        """Stop the lane."""
        await self.lane.aclose()


@dataclass(frozen=True, slots=True)
class _Speaker:
    voice: Voice
    model: "_VoiceModel"
    number: int | None

    def say(self, text: str, speed: float) -> Iterator[SpeechChunk]:
        """The chunks of one piece after the other, in the lane."""
        for piece in split_speakable(text):
            yield from self.model.say(piece, speed, self.number)


class _VoiceModel:
    """One voice file: its session, its phonemizer and the gain that brings it to the loudness of the others."""

    def __init__(self, file: Path, threads: int, device: str) -> None:
        from piper.config import PiperConfig
        from piper.voice import PiperVoice

        self.id = file.stem
        description = file.with_suffix(".onnx.json")
        try:
            self._description = json.loads(description.read_text(encoding="utf-8"))
            config = PiperConfig.from_dict(self._description)
        except (OSError, ValueError, KeyError) as error:
            raise EngineUnavailableError(
                f"{description} is missing or broken ({error}): run `morgan models pull`"
            ) from error
        self._config = config
        # Only its phonemizer is used, which asks for no session.
        self._piper = PiperVoice(session=None, config=config)
        references = cycle(self._ids(self._phonemes(text))[0] for text in _REFERENCES)
        self._decoder, self.placement = placed(
            f"{Piper.name} {self.id}",
            device,
            partial(VitsDecoder, file, config.hop_length, threads),
            # Of another length each time, as clauses are: a GPU has to be prepared for each.
            lambda decoder: [*self._settle(next(references), 1.0, None, decoder).sound],
            lacking=lacking_cuda,
        )
        self._gain = 1.0
        self._gain = self._measured_gain()

    def speakers(self) -> list[_Speaker]:
        """Every speaker of the file."""
        language = str(self._description.get("language", {}).get("code") or self.id.split("-")[0])
        language = language.replace("_", "-")
        name = str(self._description.get("dataset") or [*self.id.split("-"), self.id][1])
        if self._config.num_speakers <= 1:
            return [_Speaker(Voice(self.id, name, language, Piper.name), self, None)]
        known = self._config.speaker_id_map or {str(n): n for n in range(self._config.num_speakers)}
        return [
            _Speaker(Voice(f"{self.id}:{speaker}", f"{name} {speaker}", language, Piper.name), self, number)
            for speaker, number in known.items()
        ]

    def say(self, text: str, speed: float, speaker: int | None) -> Iterator[SpeechChunk]:
        """Synthesise one piece, in chunks; the first holds the words of all. Nothing when nothing can be spoken."""
        phonemes = self._phonemes(text) if any(character.isalnum() for character in text) else []
        # The phonemizer would read a lone "!" out as "exclamation".
        if not any(is_sounding(phoneme) for phoneme in phonemes):
            return
        ids, ends = self._ids(phonemes)
        settled = self._settle(ids, speed, speaker)
        edges = SpeechEdges(self._config.sample_rate, text, _REFERENCE_RMS / self._gain)
        begun = False
        for pcm in self._resampled(edges.trim(settled.sound)):
            timed = (
                () if begun else self._timed(text, phonemes, settled.lengths, ends, edges.cut_s, pcm.size / SPEECH_RATE)
            )
            begun = True
            yield SpeechChunk(pcm, timed)

    def _timed(
        self,
        text: str,
        phonemes: Sequence[str],
        lengths: NDArray[np.float32] | None,
        ends: Sequence[int],
        cut_s: float,
        whole_s: float,
    ) -> tuple[Word, ...]:
        """The words with their times from the first sample that is heard, `cut_s` after the first that was made.

        A model that does not tell lengths gives all of its sound, `whole_s`, at once.
        """
        if lengths is None or lengths.size != ends[-1] + 1:
            return within(estimate_word_times(text, whole_s), whole_s)
        words = [word for word in text.split() if any(character.isalnum() for character in word)]
        until = np.concatenate([[0.0], np.cumsum(lengths.astype(np.float64)) * self._config.hop_length])
        until /= self._config.sample_rate
        # The ids of a phoneme end where those of the next one begin; the mark of the beginning comes before them.
        seconds = np.diff(until[[ends[0], *ends[1:]]])
        timed = time_words(words, phonemes, seconds.tolist(), self._sounds_in, float(until[ends[0]]) - cut_s)
        return within(timed, float(until[-1]) - cut_s)

    def _phonemes(self, text: str) -> list[str]:
        """Of all sentences of the text, as one."""
        joined: list[str] = []
        with ESPEAK:
            sentences = self._piper.phonemize(text)
        for sentence in sentences:
            joined += [" ", *sentence] if joined and not joined[-1].isspace() else sentence
        return [phoneme for phoneme in joined if phoneme in self._config.phoneme_id_map]

    def _ids(self, phonemes: Sequence[str]) -> tuple[list[int], list[int]]:
        """The model's input, and the number of ids before the first phoneme and up to the end of each."""
        table = self._config.phoneme_id_map
        pad = table["_"]
        ids = [*table["^"], *pad]
        ends = [len(ids)]
        for phoneme in phonemes:
            ids += [*table[phoneme], *pad]
            ends.append(len(ids))
        return [*ids, *table["$"]], ends

    def _settle(
        self, ids: Sequence[int], speed: float, speaker: int | None, decoder: VitsDecoder | None = None
    ) -> Settled:
        config = self._config
        scales = [config.noise_scale, config.length_scale / speed, config.noise_w_scale]
        feeds: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(scales, np.float32),
        }
        if config.num_speakers > 1:
            feeds["sid"] = np.array([config.default_speaker_id if speaker is None else speaker], np.int64)
        return (decoder or self._decoder).settle(feeds)

    def _resampled(self, parts: Iterator[Part]) -> Iterator[NDArray[np.int16]]:
        """At `SPEECH_RATE` and the loudness of the other voices; no part waits for the next one."""
        gain, rate = np.float32(self._gain), self._config.sample_rate
        resampler = soxr.ResampleStream(rate, SPEECH_RATE, 1) if rate != SPEECH_RATE else None
        for sound, last in parts:
            louder = sound * gain
            yield to_pcm(resampler.resample_chunk(louder, last) if resampler else louder)

    def _measured_gain(self) -> float:
        """Brings an ordinary sentence to -20 dB of full level without clipping; also warms the session up."""
        reference = self._settle(self._ids(self._phonemes(_REFERENCE))[0], 1.0, None)
        speech = np.concatenate([part.sound for part in reference.sound])
        loud = np.abs(speech).max(initial=1e-6)
        voiced = speech[np.abs(speech) > 0.02 * loud]
        level = float(np.sqrt(np.square(voiced).mean())) if voiced.size else 1.0
        return min(_REFERENCE_RMS / level, _HIGHEST_PEAK / float(loud))

    def _sounds_in(self, word: str) -> int:
        return sum(is_sounding(phoneme) for phoneme in self._phonemes(word))


def split_speakable(text: str) -> list[str]:
    """Cut long text where a speaker breathes: behind sentences of 25 characters, clauses of 120, words of 240."""
    pieces = []
    rest = text.strip()
    while rest:
        cuts = [match.end() for least, pattern in _BREAKS if (match := pattern.search(rest, least))]
        cut = min(cuts, default=len(rest))
        pieces.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return pieces
