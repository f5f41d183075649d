"""Text to speech by CSM (https://huggingface.co/sesame/csm-1b, Apache-2.0) over transformers: made for a GPU.

An optional extra. A clause is spoken when it is whole: the voice is quick on a GPU and far from real time on a CPU.
"""

import importlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.audio import SPEECH_RATE, Waveform, to_pcm
from pipeline.engines.protocols import EngineError, EngineUnavailableError, SpeechChunk, Voice
from pipeline.engines.tts.piper import split_speakable
from pipeline.engines.tts.speech_edges import trim_edges
from pipeline.engines.tts.tempo import change_tempo
from pipeline.engines.tts.word_timing import estimate_word_times
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket

VOICE = "csm-streaming"
"""Id of its voice."""

FRAMES_PER_S = 12.5
_WORD_S, _MARGIN_S = 0.7, 2.0
_SLOWEST, _FASTEST = 0.25, 4.0
_REMEDY = "install it with `pip install 'morgan-voice[transformers]'`"


class _GivenUpError(Exception):
    """The rest is not wanted any more."""


class Csm:
    """CSM behind `pipeline.engines.protocols.TextToSpeech`.

    The constructor blocks until the model is loaded.

    Args:
        folder: in the Hugging Face layout: `config.json`, weights (the codec's among them), tokenizer.
        device: "cpu", "cuda"; "auto" takes the best that there is.
        compute_type: as PyTorch names them; "auto" is bfloat16 on cuda and float32 elsewhere.
        speaker: number of the speaker whom the model imitates.
        capacity: clauses that may wait in the lane.

    Raises:
        EngineUnavailableError: a package or the files are missing or unusable; the message says what to do.
    """

    name = "csm"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(
        self, folder: Path, *, device: str = "auto", compute_type: str = "auto", speaker: int = 0, capacity: int = 64
    ) -> None:
        self._torch, transformers = _packages()
        if not (folder / "config.json").is_file():
            raise EngineUnavailableError(f"no CSM model in {folder}: download sesame/csm-1b there")
        self.device = ("cuda" if self._torch.cuda.is_available() else "cpu") if device == "auto" else device
        best = "bfloat16" if self.device == "cuda" else "float32"
        dtype = getattr(self._torch, best if compute_type == "auto" else compute_type)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            network = transformers.CsmForConditionalGeneration.from_pretrained(folder, dtype=dtype)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise EngineUnavailableError(f"the CSM model in {folder} cannot be loaded ({error})") from error
        self._network: Any = network.to(self.device).eval()
        self._streamer = transformers.generation.streamers.BaseStreamer
        self._speaker = speaker
        self.model = folder.name
        self.voices: Sequence[Voice] = (Voice(VOICE, "CSM", "en", self.name),)
        self.default_voice = VOICE
        self.lane = Lane(self.name, capacity=capacity, cores=slots_of(self.device))

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence; long text goes out sentence by sentence.

        Raises:
            ValueError: unknown voice, or a speed out of range.
            EngineError: the model failed.
        """
        if voice not in (None, VOICE):
            raise ValueError(f"unknown voice {voice!r}; known is {VOICE}")
        if not _SLOWEST <= speed <= _FASTEST:
            raise ValueError(f"speed must lie between {_SLOWEST} and {_FASTEST}, not {speed}")
        return self.lane.stream(lambda: self._say(text, ticket, speed), ticket)

    async def warm_up(self) -> None:
        """Say a word."""
        async for _ in self.synthesize("Ready.", Ticket()):
            pass

    async def close(self) -> None:
        """Stop after the frame in hand and free the weights."""
        await self.lane.aclose()
        self._network = None

    def _say(self, text: str, ticket: Ticket, speed: float) -> Iterator[SpeechChunk]:
        for piece in split_speakable(text):
            if not any(character.isalnum() for character in piece):
                continue
            try:
                speech, _ = trim_edges(self._generate(piece, ticket), SPEECH_RATE, piece)
            except _GivenUpError:
                return
            if speech.size:
                pcm = change_tempo(to_pcm(speech), speed)
                yield SpeechChunk(pcm, estimate_word_times(piece, pcm.size / SPEECH_RATE))

    def _generate(self, text: str, ticket: Ticket) -> Waveform:
        """Samples at 24 kHz."""
        seconds = _MARGIN_S + _WORD_S * len(text.split())
        given = self._tokenizer(f"[{self._speaker}]{text}", return_tensors="pt").to(self.device)
        try:
            with self._torch.inference_mode():
                audio = self._network.generate(
                    input_ids=given["input_ids"],
                    attention_mask=given["attention_mask"],
                    output_audio=True,
                    max_new_tokens=round(seconds * FRAMES_PER_S),
                    streamer=self._until_given_up(ticket),
                )
        except (RuntimeError, ValueError, IndexError) as error:
            raise EngineError(f"CSM could not say a clause: {error}") from error
        return np.asarray(audio[0].float().cpu().numpy().reshape(-1), np.float32)

    def _until_given_up(self, ticket: Ticket) -> Any:
        """Asked after every frame; ends the generation once the ticket is cancelled."""

        def put(_: object) -> None:
            if ticket.cancelled:
                raise _GivenUpError

        return type("Watch", (self._streamer,), {"put": lambda _, value: put(value), "end": lambda _: None})()


def _packages() -> tuple[Any, Any]:
    try:
        torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    except ImportError as error:
        raise EngineUnavailableError(f"the package {error.name} is missing: {_REMEDY}") from error
    if not hasattr(transformers, "CsmForConditionalGeneration"):
        raise EngineUnavailableError(f"transformers {transformers.__version__} does not know CSM: {_REMEDY}")
    return torch, transformers
