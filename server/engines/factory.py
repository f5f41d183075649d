"""Builds the engines that the settings ask for. Blocking: runs before the event loop serves calls."""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import ValidationError

from pipeline.engines.protocols import (
    AbsentEngine,
    Engine,
    EngineError,
    Engines,
    LanguageModel,
    SpeechToText,
    TextEmbedder,
    TextToSpeech,
)
from pipeline.engines.tts.several_voices import SeveralVoices
from pipeline.models import Manifest, ModelStore
from pipeline.plugins.engine_plugin import EngineHost, EngineOptions, EngineRole
from pipeline.plugins.registry import Plugin, engines_for_folders, find_engine
from pipeline.scheduling.cores import CORES, usable_cores
from server.engines.remote import RemoteEngines
from server.roles import ENGINES_OF, SERVICE_OF
from server.settings import AUTO_MIND, MOST_LANES, Settings

SETTINGS_OF: dict[EngineRole, dict[str, str]] = {
    "vad": {"model": "vad_model"},
    "turn": {"model": "turn_model"},
    "stt": {
        "model": "stt_model",
        "compute_type": "stt_compute_type",
        "runtime": "stt_runtime",
        "lanes": "stt_lanes",
        "languages": "languages",
    },
    "llm": {
        "model": "llm_model",
        "threads": "llm_threads",
        "requantize": "llm_requantize",
        "guidance": "llm_guidance",
        "base_url": "llm_base_url",
        "api_key": "llm_api_key",
        "sees_images": "llm_sees_images",
    },
    "tts": {
        "model": "tts_model",
        "voice": "tts_voice",
        "lanes": "tts_lanes",
        "base_url": "tts_base_url",
        "api_key": "tts_api_key",
    },
    "embedder": {"model": "embedder_model"},
}
"""Which setting an option of an engine is filled from, by role and name of the option."""


def needed_models(settings: Settings) -> list[str]:
    """Ids of the models that these settings use and that Morgan can fetch.

    Raises:
        EngineError: an engine is not known, or its options do not fit.
    """
    known = {model.id for model in ModelStore(settings.models_dir).manifest.models}
    needed: list[str] = []
    for role in engines_here(settings):
        if role == "tts" and settings.tts_engine == "local":
            needed += [voice.partition("#")[0] for voice in (settings.tts_voice, *settings.tts_voices)]
        else:
            plugin = find_engine(role, engine_id(role, settings))
            needed += plugin.models(options_of(plugin, settings))
    return [name for name in needed if name in known]


def engines_here(settings: Settings) -> list[EngineRole]:
    """The engines that this process loads itself, by role."""
    roles = [role for role in ENGINES_OF[settings.role] if role != "embedder" or settings.embedder_engine != "none"]
    here = {role for role in roles if role not in SERVICE_OF or not settings.service_urls(SERVICE_OF[role])}
    return [role for role in get_args(EngineRole) if role in here]


def engine_id(role: EngineRole, settings: Settings) -> str:
    """Which engine of a role the settings mean, "auto" resolved; "local": voices choose by their folders."""
    return llm_engine(settings) if role == "llm" else str(getattr(settings, f"{role}_engine"))


def llm_engine(settings: Settings) -> str:
    """Which language model engine "auto" comes to here."""
    if settings.llm_engine != "auto":
        return settings.llm_engine
    if settings.llm_base_url:
        return "openai"
    return "llama.cpp" if importlib.util.find_spec("xllamacpp") else "transformers"


def mind_of(settings: Settings) -> str:
    """The language model's name; in this process, where nobody has chosen (`server.minds`), that of the quick one."""
    if settings.llm_model != AUTO_MIND or llm_engine(settings) not in ("llama.cpp", "transformers"):
        return settings.llm_model
    return next(model.id for model in Manifest.load().defaults() if model.role == "llm")


def options_of(plugin: Plugin, settings: Settings, **given: object) -> EngineOptions:
    """The options of an engine: `engine_options`, else what is given, else settings of its role (`SETTINGS_OF`).

    A setting that was left at its default fills only an option that has none.

    Raises:
        EngineError: they do not fit; the message names those that do not.
    """
    fields = plugin.options.model_fields
    values: dict[str, object] = {
        option: mind_of(settings) if setting == "llm_model" else getattr(settings, setting)
        for option, setting in SETTINGS_OF[plugin.role].items()
        if option in fields and (setting in settings.model_fields_set or fields[option].is_required())
    }
    try:
        options: EngineOptions = plugin.options(**{**values, **given, **settings.engine_options.get(plugin.id, {})})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise EngineError(f"the options of the {plugin.role} engine {plugin.id!r} do not fit: {faults}") from None
    return options


def build_engines(settings: Settings, loaded: Callable[[str], None] = lambda _: None) -> Engines:
    """Load every engine of the settings' role, side by side; those that are elsewhere are asked who they are.

    Args:
        settings: which ones.
        loaded: told the role of each as it is there, from the thread that loaded it.

    Raises:
        EngineError, pipeline.models.ModelError: one cannot be loaded; the message says what to do.
    """
    CORES.resize(settings.cores or usable_cores())
    builders: dict[str, Callable[[], Engine]] = {
        role: partial(_build, role, settings) for role in engines_here(settings)
    }
    builders |= RemoteEngines(settings).builders()

    def build(role: str) -> Engine:
        engine = builders[role]()
        loaded(role)
        return engine

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="load") as pool:
        engines: dict[str, Any] = dict(zip(builders, pool.map(build, builders), strict=True))
    absent = {role: AbsentEngine(role) for role in ("stt", "llm", "tts", "turn", "vad") if role not in engines}
    return Engines(**{**absent, **engines})


def build_embedder(settings: Settings) -> TextEmbedder | None:
    """The embedder alone, for work on memory without a server; None where the settings want none. Raises as above."""
    return None if settings.embedder_engine == "none" else _build("embedder", settings)


def build_llm(settings: Settings) -> LanguageModel:
    """The language model, alone and as the server has it. Raises as above."""
    engine: LanguageModel = _build("llm", settings)
    return engine


def build_stt(settings: Settings) -> SpeechToText:
    """What hears, alone and as the server has it, for benches. Raises as above."""
    engine: SpeechToText = _build("stt", settings)
    return engine


def lanes_of(wanted: int | None, settings: Settings) -> int:
    """Jobs of an engine at once: as many as there are cores, because `pipeline.scheduling.cores` never lets more run.

    With fewer, the work of a turn would wait for optional work of the same engine while cores are free.
    """
    return wanted or min(MOST_LANES, settings.cores or usable_cores())


def _build(role: EngineRole, settings: Settings) -> Any:
    """The engine of a role, as the protocol of that role describes it."""
    if role == "tts" and settings.tts_engine == "local":
        return _local_voices(settings)
    plugin = find_engine(role, engine_id(role, settings))
    return plugin.build(options_of(plugin, settings), _host(settings))


def _host(settings: Settings) -> EngineHost:
    return EngineHost(
        partial(_place, ModelStore(settings.models_dir)),
        settings.models_dir,
        lanes_of(None, settings),
        partial(_build, "vad", settings),
    )


def _place(store: ModelStore, name: str) -> Path:
    """Folder of a model: a path as it is, anything else by its id."""
    path = Path(name).expanduser()
    return path if path.exists() and ("/" in name or "\\" in name) else store.path(name)


def _local_voices(settings: Settings) -> TextToSpeech:
    first, *others = (_local_voice(voice, settings) for voice in (settings.tts_voice, *settings.tts_voices))
    return SeveralVoices(first, *others) if others else first


def _local_voice(name: str, settings: Settings) -> TextToSpeech:
    """The engine that fits what lies in a folder.

    Args:
        name: model id or folder; "#" and a voice of it make that one the default, as in "kokoro-82m#af_heart".
    """
    model, _, speaker = name.partition("#")
    host = _host(settings)
    folder = host.folder_of(model)
    plugin = next(each for each in engines_for_folders("tts") if each.fits is not None and each.fits(folder))
    given: dict[str, object] = {"model": model, "voice": speaker or None}
    options = options_of(plugin, settings, **{key: given[key] for key in given if key in plugin.options.model_fields})
    return cast(TextToSpeech, plugin.build(options, host))
