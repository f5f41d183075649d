"""Protocols of the engines, and the plain values that go in and come out.

Each engine is loaded once, shared by all calls, and does its work in lanes of its own
(`pipeline.scheduling.lanes.Lane`); what differs from call to call is handed in. All methods are called on the event
loop and never block it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from pipeline.audio import Pcm, Waveform
from pipeline.engines.guidance import Guidance
from pipeline.engines.images import Image
from pipeline.scheduling.lanes import Ticket

Role = Literal["system", "user", "assistant", "tool"]


class EngineError(RuntimeError):
    """An engine could not do its work. The message is fit for a log and for `/health`, not for the caller's ear."""


class RequestRefusedError(EngineError):
    """The engine does not take this request, nor would it the same one later.

    The message is fit for its sender, and not for a log: there may be words of the request in it.
    """


class EngineUnavailableError(EngineError):
    """The engine cannot be used on this machine; the message says what to install or to set."""


@runtime_checkable
class Engine(Protocol):
    """What every engine has in common."""

    @property
    def name(self) -> str:
        """Short name for logs, health and metrics, such as "faster-whisper"."""

    @property
    def kind(self) -> Literal["in-process", "remote"]:
        """Where it does its work."""

    @property
    def model(self) -> str:
        """Name of the loaded model."""

    async def warm_up(self) -> None:
        """Do one piece of real work, so that the first caller does not pay for lazy set-up."""

    async def close(self) -> None:
        """Give back threads, memory and connections."""


class VoiceStream(Protocol):
    """Voice activity of one call; holds the model's recurrent state."""

    def probability(self, window: Waveform) -> float:
        """Speech probability (0 to 1) of the next 512 samples at 16 kHz (32 ms). Costs about 0.1 ms; runs in place."""

    def reset(self) -> None:
        """Forget what was heard."""


class VoiceActivityDetector(Engine, Protocol):
    def open_stream(self) -> VoiceStream:
        """A stream for one call."""


class TurnDetector(Engine, Protocol):
    """Tells from the sound of the last seconds whether the speaker is done."""

    async def completeness(self, audio: Waveform, ticket: Ticket) -> float:
        """Probability (0 to 1) that the turn is over.

        Args:
            audio: the turn so far at 16 kHz, shape (n,); only its last 8 s are used.
            ticket: place in the lane.
        """


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its place in the audio, seconds from the start of that audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a piece of audio.

    Attributes:
        text: the words, stripped; empty when there was no speech.
        language: ISO 639-1 code.
        no_speech: probability (0 to 1) that there was no speech at all.
        confidence: exp of the mean log probability per token, 0 to 1.
        duration: seconds of audio.
        words: with times, where they were asked for.
        language_probability: of `language`, 0 to 1; 1 where the language was given.
        doubted: the engine does not believe its own words: a repetition, an endless text, nothing for what is speech.
    """

    text: str
    language: str
    no_speech: float = 0.0
    confidence: float = 1.0
    duration: float = 0.0
    words: tuple[Word, ...] = ()
    language_probability: float = 1.0
    doubted: bool = False


class SpeechToText(Engine, Protocol):
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
        """Transcribe one stretch of speech (at most 30 s are taken as one window; longer audio is windowed inside).

        Args:
            audio: 16 kHz, shape (n,).
            ticket: place in the lane.
            language: ISO 639-1 code that the speech is in, whatever it sounds like; None to detect it.
            prior: ISO 639-1 code that it is expected to be in: taken unless the engine is sure of another one; the
                shorter the speech, the surer it must be. Not looked at where `language` is given; an engine that does
                not know it goes on without.
            prompt: text that came just before, for names and style.
            word_timestamps: whether `Transcript.words` is wanted.
            retry: whether the engine may take more time over words that it doubts.
        """


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a language model is told of it (OpenAI's "function").

    Attributes:
        name: by which the model asks for it: letters, digits, "_" and "-".
        description: what it does and when to use it.
        parameters: JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a language model wants of a tool.

    Attributes:
        id: by which the tool's answer refers to it.
        name: of the tool.
        arguments: JSON as the model wrote it; it need be neither JSON nor what the schema asks for.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the context that a language model sees.

    Attributes:
        role: who speaks.
        content: the words; for the assistant only those that were heard.
        tool_call_id: which call a tool message answers.
        tool_calls: what the assistant asked of tools in this message.
        images: what the user shows; engines whose `sees_images` is false do not look at them.
    """

    role: Role
    content: str
    tool_call_id: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """JSON that an answer has to be.

    Attributes:
        schema: JSON Schema that it fits; None for any object.
        name: of the schema, where the client gave one.
        description: of what it is for, likewise.
        strict: as the client said; engines in process always keep to the schema.
    """

    schema: Mapping[str, Any] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the language model is asked.

    Attributes:
        messages: the whole context, oldest first.
        conversation: key by which an engine may keep a cached prefix.
        max_tokens: most tokens to generate.
        min_tokens: fewest, though the model would rather end: for measuring. An engine that cannot force it does not
            look at it.
        temperature: 0 is greedy.
        stop: texts that end the generation.
        tools: what the model may ask for; engines whose `calls_tools` is false do not look at it.
        tool_choice: "auto", "none", "required", or the name of the tool that must be asked for.
        parallel_tool_calls: whether more than one tool may be asked for at a time; see `asked_of_tools`.
        top_p: at temperatures above 0, sample among the likeliest tokens that add up to this probability; None leaves
            it to the engine. An engine that cannot differ from request to request does not look at it.
        seed: of the random numbers, likewise.
        form: JSON that the answer has to be; None for text. See `shapes_answers`.
        guidance: what the engine may add for a small model; nothing where the prompt is the client's.
    """

    messages: tuple[Message, ...]
    conversation: str = ""
    max_tokens: int = 256
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    top_p: float | None = None
    seed: int | None = None
    form: AnswerForm | None = None
    min_tokens: int = 0
    guidance: Guidance = Guidance.NONE

    @property
    def asked(self) -> str:
        """What the user said last."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")


FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of the reply.

    Attributes:
        text: the next characters; empty in the last delta.
        finish_reason: set in the last delta only.
        prompt_tokens: in the last delta, where known.
        completion_tokens: in the last delta, where known.
        tool_calls: in the last delta: what the model asks of tools, whole.
        thinking: what comes now is thought, which is never part of the text.
    """

    text: str
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: bool = False


def asked_of_tools(request: ChatRequest, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Of the tools that a model asks for those that it may: one at a time where the request says so.

    Models cannot be kept from asking for several, and of endpoints not all look at what they are told.
    """
    return calls if request.parallel_tool_calls else calls[:1]


class LanguageModel(Engine, Protocol):
    """Writes replies."""

    @property
    def calls_tools(self) -> bool:
        """Whether `ChatRequest.tools` reach the model."""

    def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """Generate a reply; closing the iterator, or cancelling the ticket, stops the generation at the next token."""

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """Read the context ahead of time, so that `stream` on a longer one starts sooner. May do nothing."""


def shapes_answers(llm: LanguageModel) -> bool:
    """Whether `ChatRequest.form` is kept to: engines say so by an attribute of this name, which they need not have."""
    return getattr(llm, "shapes_answers", False) is True


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of synthesised speech.

    Attributes:
        pcm: at `pipeline.audio.SPEECH_RATE`, shape (n,).
        words: with seconds from the start of this chunk; empty where the engine does not know them.
    """

    pcm: Pcm
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that can be asked for by its id."""

    id: str
    name: str
    language: str
    engine: str


class TextToSpeech(Engine, Protocol):
    voices: Sequence[Voice]
    default_voice: str

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence. Chunks follow each other without a gap.

        Args:
            text: plain words, already made speakable.
            ticket: place in the lane.
            voice: an id of `voices`, None for the default.
            speed: 1 is natural, 2 twice as fast.

        Raises:
            ValueError: unknown voice; the message names the known ones.
        """


class TextEmbedder(Engine, Protocol):
    """Puts texts into a space where what means the same lies near.

    Attributes:
        dimensions: length of each vector.
    """

    dimensions: int

    async def embed(self, texts: Sequence[str], ticket: Ticket) -> list[list[float]]:
        """Vectors of length 1, one for each text, in order; long texts are cut to what the model reads."""


class AbsentEngine:
    """Stand-in for an engine that a process has no use for: every use of it raises an error that says so.

    Args:
        role: of the engine that is not there.
    """

    def __init__(self, role: str) -> None:
        self._role = role

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise EngineUnavailableError(f"this process has no {self._role} engine: it serves another role")


@dataclass(frozen=True, slots=True)
class Engines:
    """One of each, as the composition root built them; `AbsentEngine` in the place of those it has not."""

    vad: VoiceActivityDetector
    turn: TurnDetector
    stt: SpeechToText
    llm: LanguageModel
    tts: TextToSpeech
    embedder: TextEmbedder | None = None

    def all(self) -> dict[str, Engine]:
        """Every engine that is there by its role."""
        own = {"vad": self.vad, "turn": self.turn, "stt": self.stt, "llm": self.llm, "tts": self.tts}
        return {
            **{role: engine for role, engine in own.items() if not isinstance(engine, AbsentEngine)},
            **({"embedder": self.embedder} if self.embedder else {}),
        }
