"""The registration of an engine by a package: `EnginePlugin`, a target of entry points `morgan.engines`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from pipeline.engines.protocols import Engine, VoiceActivityDetector

EngineRole = Literal["vad", "turn", "stt", "llm", "tts", "embedder"]
"""What an engine is for; each has a protocol in `pipeline.engines.protocols`."""


class EngineOptions(BaseModel):
    """Options of an engine, as a subclass of its own declares them; unknown ones are refused.

    Options of these names are filled from Morgan's settings of the role, where the options have no default or the
    setting was set: model, compute_type, runtime, lanes, languages, threads, requantize, base_url, api_key, voice
    (`server.engines`). All of them, `device` among them, can be set in `MORGAN_ENGINE_OPTIONS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


@dataclass(frozen=True, slots=True)
class EngineHost:
    """What Morgan lends an engine while it is built.

    Attributes:
        folder_of: folder of a model, by its id in `pipeline/models.toml` or as a path; raises
            `pipeline.models.ModelError` where it has not been pulled.
        cache_dir: where converted weights may be kept.
        lanes: jobs at once: as many as cores, because `pipeline.scheduling.cores` never lets more run.
        voice_activity: builds the voice activity detector of the settings.
    """

    folder_of: Callable[[str], Path]
    cache_dir: Path
    lanes: int
    voice_activity: Callable[[], VoiceActivityDetector]


OptionsT = TypeVar("OptionsT", bound=EngineOptions)


def _none(_: Any) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class EnginePlugin(Generic[OptionsT]):
    """An engine that can be chosen by its id.

    Attributes:
        id: by which the settings name it, such as "faster-whisper"; unique within its role.
        role: which protocol it keeps.
        options: model of its options.
        build: makes the engine; blocks until its weights are loaded, so import heavy packages in here. Raises
            `pipeline.engines.protocols.EngineError`, whose message says what to do.
        models: ids of the models that it needs with these options; Morgan fetches those that it knows.
        fits: for a voice in a folder (`tts_engine` = "local"), whether this engine speaks it.
    """

    id: str
    role: EngineRole
    options: type[OptionsT]
    build: Callable[[OptionsT, EngineHost], Engine]
    models: Callable[[OptionsT], Sequence[str]] = _none
    fits: Callable[[Path], bool] | None = None
