"""Which engines there are, with which models."""

import re
from typing import Any, Literal, cast

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_serializer, field_validator

from pipeline.plugins.engine_plugin import EngineRole
from pipeline.plugins.registry import known_ids
from server.settings.types import ByTheMachine, Listed

AUTO_MIND = "auto"
"""In place of the name of a language model: the wisest that this machine affords, see `server.minds`."""

MOST_LANES = 16

ENGINE_WORDS = {"llm": ("auto",), "tts": ("local",), "embedder": ("none",)}
"""What an engine's setting may be besides ids, by role."""

SECRET = re.compile("key|token|secret|password")
"""In the names of engine options whose values are not shown."""


class EnginesSettings(BaseModel):
    """Which engines there are, with which models."""

    engine_options: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Options of engines by their id, over the settings: a JSON object, or tables "
        "[engine_options.faster-whisper] with device (auto, cpu, cuda), compute_type and what else the engine has.",
    )
    stt_engine: str = Field("faster-whisper", description="Id of the speech to text engine.")
    stt_model: str = Field("whisper-base", description="Model id, or a folder with a CTranslate2 Whisper model.")
    stt_compute_type: Literal["auto", "int8", "float32"] = Field(
        "auto",
        description="What Whisper computes in. float32 errs less and takes four times the memory; auto: float32 where "
        "the self-check finds it faster than int8.",
    )
    stt_runtime: Literal["auto", "ctranslate2", "onnx"] = Field(
        "auto",
        description="What hears English on its first window. onnx: the same weights in 8 bits on onnxruntime, with the "
        "transcript of a moment ago as a draft (200 MB more for whisper-base); auto: where the self-check finds it "
        "quicker, with the same words.",
    )
    stt_lanes: ByTheMachine = Field(
        None, ge=1, le=MOST_LANES, description="Transcriptions at once. None, or auto: as many as cores."
    )
    stt_max_sessions: int = Field(64, ge=1, le=4096, description="Streaming sessions of the service at once.")
    stt_session_ttl_s: int = Field(
        120, ge=1, le=3600, description="Seconds without audio after which a streaming session is abandoned."
    )
    stt_max_audio_s: int = Field(1800, ge=1, le=36_000, description="Longest audio file that is transcribed, seconds.")
    llm_engine: str = Field(
        "auto",
        description="llama.cpp, transformers, openai or the id of an installed engine; auto: openai if llm_base_url is "
        "set, else llama.cpp, else transformers.",
    )
    llm_model: str = Field(
        AUTO_MIND,
        description="Model id, path, or the endpoint's model name. auto: the wisest of `morgan models list` that this "
        "machine affords, by measured speed and memory; a quick one answers until that is fetched.",
    )
    llm_threads: int = Field(2, ge=1, le=64, description="Threads of the language model in process.")
    llm_requantize: bool = Field(
        True, description="Keep a copy of smaller models in a form that is read faster, made once (seconds)."
    )
    llm_guidance: bool = Field(
        True,
        description="Help models of less than a billion parameters in calls: examples of how to answer, the results of "
        "sums, and a word behind the answers of tools.",
    )
    llm_base_url: str | None = Field(None, description="An OpenAI-compatible endpoint, such as http://host:11434/v1.")
    llm_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    llm_sees_images: bool = Field(
        False, description="Its model takes images: they are handed on to it. Otherwise they are refused."
    )
    llm_max_tokens: int = Field(320, ge=1, le=4096, description="Most tokens of a reply.")
    llm_temperature: float = Field(0.0, ge=0, le=2, description="0 is greedy.")
    tts_engine: str = Field(
        "local",
        description="local: in this process, by what lies in the folders of the voices; openai: an endpoint with "
        "/audio/speech; or the id of an installed engine.",
    )
    tts_voice: str = Field(
        "piper-en_US-joe-medium",
        description="The default voice: model id or folder (Piper, Kokoro, CSM), or the endpoint's name for it. "
        "One of several in a folder is named behind a #: kokoro-82m#jf_alpha.",
    )
    tts_voices: Listed = Field((), description="Further voices in this process: model ids or folders, comma-separated.")
    tts_lanes: ByTheMachine = Field(
        None,
        ge=1,
        le=MOST_LANES,
        description="Clauses spoken at once. None, or auto: as many as cores.",
    )
    tts_base_url: str | None = Field(None, description="An OpenAI-compatible speech endpoint.")
    tts_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    tts_model: str = Field("tts-1", description="Its model name.")
    turn_engine: str = Field("smart-turn", description="Id of the end-of-turn engine.")
    turn_model: str = Field("smart-turn-v3.2", description="Model id or folder of the end-of-turn model.")
    vad_engine: str = Field("silero", description="Id of the voice activity engine.")
    vad_model: str = Field("silero-vad-v6", description="Model id or folder of the voice activity model.")
    embedder_engine: str = Field(
        "ctranslate2",
        description="What finds messages by their meaning: ctranslate2, transformers or the id of an installed engine; "
        "none: no search.",
    )
    embedder_model: str = Field("all-minilm-l6-v2", description="Model id or folder; 384 dimensions.")

    @field_validator("stt_engine", "llm_engine", "tts_engine", "turn_engine", "vad_engine", "embedder_engine")
    @classmethod
    def _installed_engine(cls, engine_id: str, info: ValidationInfo) -> str:
        role = (info.field_name or "").removesuffix("_engine")
        known = [*ENGINE_WORDS.get(role, ()), *known_ids(cast(EngineRole, role))]
        if engine_id not in known:
            raise ValueError(f"there is no {role} engine {engine_id!r}; there are {', '.join(known)}")
        return engine_id

    @field_serializer("engine_options")
    def _without_secrets(self, options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            engine: {name: "**********" if SECRET.search(name) else value for name, value in values.items()}
            for engine, values in options.items()
        }
