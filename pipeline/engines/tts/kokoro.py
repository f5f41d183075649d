"""Text to speech by Kokoro-82M (https://huggingface.co/hexgrad/Kokoro-82M, Apache-2.0) on ONNX: many voices, one model.

Slower than Piper and richer: it is an extra voice, or the default where the machine has cores to spare. What it asks of
other packages is a phonemizer.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from pipeline.audio import SPEECH_RATE, to_pcm
from pipeline.engines.device import Placement, placed
from pipeline.engines.onnx_session import lacking_cuda, open_with_output
from pipeline.engines.protocols import EngineUnavailableError, SpeechChunk, Voice
from pipeline.engines.tts.espeak import Espeak
from pipeline.engines.tts.phoneme_timing import is_sounding, time_words, within
from pipeline.engines.tts.piper import split_speakable
from pipeline.engines.tts.speech_edges import trim_edges
from pipeline.engines.tts.word_timing import estimate_word_times
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket

Style = NDArray[np.float32]
"""A voice: one row of 256 numbers for each length of text in tokens, shape (510, 1, 256)."""

_DURATIONS = "/encoder/Round_output_0"
"""Length of each token in steps of 25 ms, inside the published ONNX model."""

_STEP = 600
_LONGEST = 508
_TRIED = (30, 60)
"""Phonemes of a clause that a device is tried with, from and to."""
_SLOWEST, _FASTEST = 0.25, 4.0

_LANGUAGES: Final = {"a": "en-US", "b": "en-GB", "e": "es", "f": "fr-FR", "h": "hi", "i": "it", "p": "pt-BR"}
"""By the first letter of a voice's name. Voices of other letters (Japanese, Chinese) speak English here, for espeak-ng
has no phonemes of the kind that Kokoro learned for their own languages."""

_ESPEAK: Final = {"en-GB": "en-gb-x-rp", "fr-FR": "fr"}
"""What espeak-ng calls a language, where it is not its code in lower case."""

_SPELLINGS: Final = (
    ("aɪ", "I"),
    ("eɪ", "A"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "Q"),
    ("aʊ", "W"),
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
    ("ɚɹ", "əɹ"),
    ("ɚ", "əɹ"),
    ("ɜː", "ɜɹ"),
    ("ɐ", "ə"),
    ("ɾ", "T"),
    ("r", "ɹ"),
    ("ː", ""),
)
"""How Kokoro writes English where espeak-ng writes otherwise: diphthongs and affricates are one letter
(https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md)."""


class Kokoro:
    """Kokoro behind `pipeline.engines.protocols.TextToSpeech`.

    Args:
        folder: holds the model (`*.onnx`), its phonemes (`vocab.json`, `config.json` or `tokenizer.json`) and voices
            (`voices/*.bin` of float32, or `*.npz`).
        lanes: clauses that are spoken at the same time.
        threads: threads inside one synthesis.
        capacity: clauses that may wait in the lane.
        default: id of the voice that speaks unasked, such as "af_heart"; the first one if not given.
        device: "cpu", "cuda", or "auto" for the quicker one.

    Raises:
        EngineUnavailableError: the folder lacks something, or the phonemizer is not installed.
    """

    name = "kokoro"
    kind: Literal["in-process", "remote"] = "in-process"
    model = "kokoro-82m"

    def __init__(
        self,
        folder: Path,
        *,
        lanes: int = 1,
        threads: int = 1,
        capacity: int = 256,
        default: str | None = None,
        device: str = "cpu",
    ) -> None:
        self._espeak = Espeak()
        self._vocabulary = _vocabulary(folder)
        self._styles = _styles(folder)
        models = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
        if not models:
            raise EngineUnavailableError(f"no Kokoro model (*.onnx) in {folder}: run `morgan models pull`")
        self.voices: Sequence[Voice] = tuple(
            Voice(style, style.partition("_")[2] or style, _LANGUAGES.get(style[0], "en-US"), self.name)
            for style in self._styles
        )
        if default is not None and default not in self._styles:
            raise EngineUnavailableError(
                f"no Kokoro voice {default!r} in {folder}; there are {', '.join(self._styles)}"
            )
        self.default_voice = default or next(iter(self._styles))
        self.lane = Lane(self.name, workers=lanes, capacity=capacity, threads=threads, pausing=True)
        try:
            self._session, self._placement = self.lane.call(partial(self._open, models[0], threads, device))
        except BaseException:
            self.lane.close()
            raise
        self.lane = self.lane.among(slots_of(self._placement.device), workers=lanes)

    @property
    def configuration(self) -> dict[str, Any]:
        """Where it computes, for health."""
        return self._placement.configuration

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence; long text goes out sentence by sentence.

        Raises:
            ValueError: unknown voice, or a speed out of range.
        """
        known = {each.id: each for each in self.voices}
        speaker = known.get(voice or self.default_voice)
        if speaker is None:
            raise ValueError(f"unknown voice {voice!r}; known are {', '.join(known)}")
        if not _SLOWEST <= speed <= _FASTEST:
            raise ValueError(f"speed must lie between {_SLOWEST} and {_FASTEST}, not {speed}")
        return self.lane.stream(lambda: self._say(text, speaker, speed), ticket)

    async def warm_up(self) -> None:
        """Say a word."""
        async for _ in self.synthesize("Ready.", Ticket()):
            pass

    async def close(self) -> None:
        """Stop the lane."""
        await self.lane.aclose()

    def _open(self, model: Path, threads: int, device: str) -> tuple[InferenceSession, Placement]:
        sounds, random = sorted(self._vocabulary.values()), np.random.default_rng(0)

        def say_something(session: InferenceSession) -> None:
            # Of another length each time, as clauses are: a GPU has to be prepared for each.
            ids = random.choice(sounds, int(random.integers(*_TRIED)))
            self._run(session, [0, *ids.tolist(), 0], self.default_voice, 1.0)

        def open_on(where: str) -> InferenceSession:
            return open_with_output(model, _DURATIONS, threads=threads, device=where)

        return placed(self.name, device, open_on, say_something, lacking=lacking_cuda)

    def _run(self, session: InferenceSession, ids: Sequence[int], voice: str, speed: float) -> list[Any]:
        style = self._styles[voice][len(ids) - 3].reshape(1, -1)
        given = (np.array([ids], np.int64), style, np.array([speed], np.float32))
        # The published files have their inputs in one order, under two names.
        names = [each.name for each in session.get_inputs()]
        outputs: list[Any] = session.run(None, dict(zip(names, given, strict=True)))
        return outputs

    def _say(self, text: str, voice: Voice, speed: float) -> Iterator[SpeechChunk]:
        for piece in split_speakable(text):
            phonemes = self._phonemes(piece, voice.language)
            if any(is_sounding(phoneme) for phoneme in phonemes):
                yield from self._say_piece(piece, phonemes[:_LONGEST], voice, speed)

    def _say_piece(self, text: str, phonemes: str, voice: Voice, speed: float) -> Iterator[SpeechChunk]:
        ids = [0, *(self._vocabulary[phoneme] for phoneme in phonemes), 0]
        outputs = self._run(self._session, ids, voice.id, speed)
        speech, cut = trim_edges(outputs[0].reshape(-1), SPEECH_RATE, text)
        if speech.size == 0:
            return
        words = [word for word in text.split() if any(character.isalnum() for character in word)]
        timed = estimate_word_times(text, speech.size / SPEECH_RATE)
        if len(outputs) > 1 and outputs[1].size == len(ids):
            lengths = (outputs[1].reshape(-1) * (_STEP / SPEECH_RATE)).tolist()
            timed = time_words(
                words, phonemes, lengths[1:-1], partial(self._sounds_in, voice.language), lengths[0] - cut
            )
        yield SpeechChunk(to_pcm(speech), within(timed, speech.size / SPEECH_RATE))

    def _phonemes(self, text: str, language: str) -> str:
        """In Kokoro's spelling, and only those that it knows."""
        phonemes = self._espeak.phonemes(_ESPEAK.get(language, language.lower()), text)
        if language.startswith("en"):
            for theirs, ours in _SPELLINGS:
                phonemes = phonemes.replace(theirs, ours)
        return "".join(phoneme for phoneme in phonemes if phoneme in self._vocabulary)

    def _sounds_in(self, language: str, word: str) -> int:
        return sum(is_sounding(phoneme) for phoneme in self._phonemes(word, language))


def _vocabulary(folder: Path) -> Mapping[str, int]:
    """Number of each phoneme, from whichever of the published files is there."""
    for name in ("vocab.json", "config.json", "tokenizer.json"):
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise EngineUnavailableError(f"{folder / name} is broken ({error}): pull the model again") from error
        found = content.get("vocab") or content.get("model", {}).get("vocab")
        if found:
            return {str(phoneme): int(number) for phoneme, number in found.items()}
    raise EngineUnavailableError(f"no vocab.json, config.json or tokenizer.json with phonemes in {folder}")


def _styles(folder: Path) -> dict[str, Style]:
    """Every voice of the folder, by name."""
    found: dict[str, Style] = {}
    try:
        for file in sorted((folder / "voices").glob("*.bin")):
            found[file.stem] = np.fromfile(file, np.float32).reshape(-1, 1, 256)
        for file in sorted(folder.glob("*.npz")):
            with np.load(file) as styles:
                found |= {name: styles[name].astype(np.float32).reshape(-1, 1, 256) for name in styles.files}
    except (OSError, ValueError) as error:
        raise EngineUnavailableError(f"a voice of {folder} is broken ({error}): pull the model again") from error
    if not found:
        raise EngineUnavailableError(f"no Kokoro voices (voices/*.bin or *.npz) in {folder}: run `morgan models pull`")
    return found
