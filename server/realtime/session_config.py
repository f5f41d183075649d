"""The configuration of one Realtime session: what the client has set, as a call follows it and the client sees it."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.call.options import CallOptions
from pipeline.text.words import primary_language
from pipeline.tools.mcp.declaration import tool_name
from server.http.errors import ApiError
from server.realtime.abilities import Abilities
from server.realtime.errors import RealtimeError, validated
from server.realtime.mcp_schema import McpTool
from server.realtime.session_schema import (
    MOST_TOKENS,
    SESSION,
    AudioInput,
    AudioOutput,
    CustomVoice,
    FunctionTool,
    SpokenSession,
    TranscriptionSession,
)
from server.realtime.session_tools import check_choice, functions_among, servers_among, spec
from server.realtime.turn_detection import merged, turn_taking
from server.speech.voices import resolve_voice

Json = dict[str, Any]

PCM: Json = {"type": "audio/pcm", "rate": 24000}


@dataclass(slots=True)
class SessionConfig:
    """What a session is like.

    Args:
        abilities: of the server.
        defaults: options of calls that do not say otherwise.

    Attributes:
        kind: "realtime", or "transcription": nothing but transcripts.
        transcription: how, as the client wrote it; None where it wants no transcripts.
        turn_detection: as the client sees it; None where it says itself when a turn is over.
    """

    abilities: Abilities
    defaults: CallOptions
    kind: Literal["realtime", "transcription"] = "realtime"
    instructions: str = ""
    modality: Literal["audio", "text"] = "audio"
    max_output_tokens: int | Literal["inf"] = "inf"
    tools: tuple[FunctionTool, ...] = ()
    mcp: tuple[McpTool, ...] = ()
    tool_choice: str | Json = "auto"
    parallel_tool_calls: bool = True
    voice: str | None = None
    speed: float = 1.0
    input_format: Json = field(default_factory=lambda: dict(PCM))
    output_format: Json = field(default_factory=lambda: dict(PCM))
    transcription: Json | None = field(default_factory=dict)
    turn_detection: Json | None = None

    @classmethod
    def of_call(cls, abilities: Abilities, options: CallOptions) -> "SessionConfig":
        """That of a call which has no other yet."""
        detection = {"type": "semantic_vad", "eagerness": "auto", "create_response": True, "interrupt_response": True}
        language = options.language or options.expected_language
        return cls(
            abilities,
            options,
            instructions=options.instructions,
            max_output_tokens=options.max_tokens,
            voice=options.voice,
            speed=options.speed,
            transcription={"language": language} if language else {},
            turn_detection=detection,
        )

    def copy(self) -> "SessionConfig":
        """Another one like it."""
        return replace(self)

    # What the client wants -------------------------------------------------------------------------------------------

    def update(self, patch: Any, prefix: str = "session") -> "SessionConfig":
        """This configuration with what a client wants changed; nothing else than what it names.

        Raises:
            RealtimeError: something in it is not to be had; the message names it.
        """
        wanted = validated(SESSION, patch, prefix)
        after = self.copy()
        after.kind = wanted.type
        if isinstance(wanted, TranscriptionSession):
            after._set_input(wanted.audio.input if wanted.audio else None, prefix)
        else:
            after._set_spoken(wanted, prefix)
        after._keep_fixed()
        return after

    def _keep_fixed(self) -> None:
        """What the caller's token says holds, whatever the client wants."""
        fixed, options = self.defaults.fixed, self.defaults
        if "instructions" in fixed:
            self.instructions = options.instructions
        if "voice" in fixed:
            self.voice = options.voice
        if "language" in fixed and self.transcription is not None:
            kept = {name: value for name, value in self.transcription.items() if not name.startswith("language")}
            self.transcription = {**kept, "language": options.language} if options.language else kept

    def _set_spoken(self, wanted: SpokenSession, prefix: str) -> None:
        given = wanted.model_fields_set
        if "instructions" in given:
            self.instructions = wanted.instructions or ""
        if wanted.output_modalities:
            self.modality = wanted.output_modalities[0]
        if "max_output_tokens" in given:
            self.max_output_tokens = wanted.max_output_tokens or "inf"
        if "tools" in given:
            tools, param = wanted.tools or (), f"{prefix}.tools"
            self.tools = functions_among(tools, self.abilities, param)
            self.mcp = servers_among(tools, self.abilities, self.defaults.tools, param)
        if "tool_choice" in given:
            choice = wanted.tool_choice or "auto"
            self.tool_choice = choice if isinstance(choice, str) else choice.model_dump()
        if wanted.parallel_tool_calls is not None:
            self.parallel_tool_calls = wanted.parallel_tool_calls
        check_choice(self.tool_choice, self.tools, self.mcp, self.defaults.tools, f"{prefix}.tool_choice")
        if wanted.audio is not None:
            self._set_input(wanted.audio.input, prefix)
            self._set_output(wanted.audio.output, prefix)

    def _set_input(self, wanted: AudioInput | None, prefix: str) -> None:
        if wanted is None:
            return
        given = wanted.model_fields_set
        if wanted.format is not None:
            self.input_format = wanted.format.model_dump(exclude_none=True)
        if "transcription" in given:
            self.transcription = self._transcription(wanted, prefix)
        if "turn_detection" in given:
            asked = wanted.turn_detection
            self.turn_detection = merged(asked, self.turn_detection) if asked is not None else None

    def _transcription(self, wanted: AudioInput, prefix: str) -> Json | None:
        asked = wanted.transcription
        if asked is None:
            return None
        before = self.transcription or {}
        kept = {**before, **asked.model_dump(exclude_unset=True)}
        for language in (kept.get("language"), *(kept.get("languages") or ())):
            code = primary_language(language) if language else "en"
            if not (code.isascii() and code.isalpha() and len(code) in (2, 3)):
                message = f"'{language}' is no ISO 639-1 code of a language."
                raise RealtimeError("invalid_value", message, f"{prefix}.audio.input.transcription.language")
        return kept

    def _set_output(self, wanted: AudioOutput | None, prefix: str) -> None:
        if wanted is None:
            return
        if wanted.format is not None:
            self.output_format = wanted.format.model_dump(exclude_none=True)
        if wanted.speed is not None:
            self.speed = wanted.speed
        if wanted.voice is not None:
            self.voice = self.voice_of(wanted.voice, f"{prefix}.audio.output.voice")

    def voice_of(self, wanted: str | CustomVoice, param: str) -> str:
        """The id of a voice.

        Raises:
            RealtimeError: there is none like that; the message names those there are.
        """
        name = wanted if isinstance(wanted, str) else wanted.id
        try:
            return resolve_voice(name, self.abilities.voices, self.abilities.default_voice)
        except ApiError as error:
            raise RealtimeError("invalid_value", error.message, param) from None

    # What the call follows -------------------------------------------------------------------------------------------

    @property
    def max_tokens(self) -> int:
        """Most tokens of a reply."""
        return MOST_TOKENS if self.max_output_tokens == "inf" else self.max_output_tokens

    @property
    def choice(self) -> str:
        """As `ChatRequest.tool_choice` has it."""
        if isinstance(self.tool_choice, str):
            return self.tool_choice
        if self.tool_choice["type"] == "mcp":
            return tool_name(self.tool_choice["server_label"], self.tool_choice["name"])
        return str(self.tool_choice["name"])

    @property
    def hears_turns(self) -> bool:
        """Whether the server finds turns in the sound."""
        return self.turn_detection is not None

    @property
    def transcribes(self) -> bool:
        """Whether the client wants to see transcripts."""
        return self.transcription is not None or self.kind == "transcription"

    def options(self) -> dict[str, Any]:
        """The options of the call, by name."""
        detection = self.turn_detection or {}
        transcription = self.transcription or {}
        talks = self.kind == "realtime"
        return {
            "instructions": self.instructions,
            "speaks": self.modality == "audio",
            "max_tokens": self.max_tokens,
            "client_tools": tuple(spec(tool) for tool in self.tools),
            "tool_choice": self.choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "voice": self.voice,
            "speed": self.speed,
            "language": self._language(),
            "stt_prompt": _prompt(transcription),
            "hears_turns": self.hears_turns,
            "answers_turns": talks and bool(detection.get("create_response")),
            "interruptible": bool(detection.get("interrupt_response", True)),
            "idle_replies": talks and bool(detection.get("idle_timeout_ms")),
            "turn_taking": turn_taking(self.defaults.turn_taking, self.turn_detection),
        }

    def _language(self) -> str | None:
        if "language" in self.defaults.fixed:
            return self.defaults.language
        asked = self.transcription or {}
        listed = asked.get("languages") or []
        only = listed[0] if len(listed) == 1 else None
        language = asked.get("language") or only
        if language is None:
            return self.defaults.language
        # What the call expects and nobody has asked for is no order.
        return self.defaults.language if language == self.defaults.expected_language else primary_language(language)

    # What the client sees --------------------------------------------------------------------------------------------

    def describe(self, session_id: str) -> Json:
        """The effective configuration, as `session.created` and `session.updated` tell it."""
        heard: Json = {
            "format": self.input_format,
            "noise_reduction": None,
            "transcription": self._described_transcription(),
            "turn_detection": self.turn_detection,
        }
        if self.kind == "transcription":
            shown: Json = {"type": "transcription", "object": "realtime.transcription_session", "id": session_id}
            return {**shown, "include": None, "audio": {"input": heard}}
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": self.abilities.model,
            "output_modalities": [self.modality],
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "tools": [
                *self._own_tools(),
                *(tool.model_dump(exclude_none=True) for tool in self.tools),
                *(server.shown() for server in self.mcp),
            ],
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {"input": heard, "output": self.audio_output()},
        }

    def audio_output(self) -> Json:
        """How replies sound."""
        return {
            "format": self.output_format,
            "voice": self.voice or self.abilities.default_voice,
            "speed": self.speed,
        }

    def _own_tools(self) -> list[Json]:
        """The server's own, which it runs by itself; those of MCP servers that the client names are told as theirs."""
        listed = {tool.name for server in self.mcp for tool in self.defaults.tools.of_server(server.server_label)}
        return [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            }
            for tool in self.defaults.tools.specs
            if tool.name not in listed
        ]

    def _described_transcription(self) -> Json | None:
        if self.transcription is None:
            return None
        shown: Json = {"model": self.abilities.stt_model, "language": None, "prompt": None}
        return {**shown, **{name: value for name, value in self.transcription.items() if name != "model"}}


def _prompt(transcription: Json) -> str:
    parts = [str(transcription.get("prompt") or ""), ", ".join(transcription.get("keywords") or ())]
    return " ".join(part.strip() for part in parts if part.strip())
