"""Builds the engines that the settings ask for. Blocking: runs before the event loop serves anybody."""

import importlib.util
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.engines.protocols import (
    AbsentEngine,
    Engine,
    EngineError,
    Engines,
    LanguageModel,
    SpeechToText,
    TextEmbedder,
    TextToSpeech,
    TurnDetector,
    VoiceActivityDetector,
)
from pipeline.engines.tts.several_voices import SeveralVoices
from pipeline.models import ModelStore
from pipeline.scheduling.cores import CORES, usable_cores
from server.engines.remote import RemoteEngines
from server.roles import ENGINES_OF, SERVICE_OF
from server.settings import AUTO_MIND, MOST_LANES, Settings


def needed_models(settings: Settings) -> list[str]:
    """Ids of the models that these settings use and that Morgan can fetch."""
    store = ModelStore(settings.models_dir)
    known = {model.id for model in store.manifest.models}
    here = engines_here(settings)
    models = {"stt": [settings.stt_model], "turn": [settings.turn_model], "vad": [settings.vad_model]}
    if llm_engine(settings) != "openai":
        models["llm"] = [mind_of(settings, store)]
    if settings.tts_engine == "local":
        models["tts"] = [voice.partition("#")[0] for voice in (settings.tts_voice, *settings.tts_voices)]
    models["embedder"] = [settings.embedder_model]
    return [name for role in here for name in models.get(role, ()) if name in known]


def engines_here(settings: Settings) -> list[str]:
    """The engines that this process loads itself, by role."""
    wanted = [role for role in ENGINES_OF[settings.role] if role != "embedder" or settings.embedder_engine != "none"]
    return [role for role in wanted if role not in SERVICE_OF or not settings.service_urls(SERVICE_OF[role])]


def llm_engine(settings: Settings) -> str:
    """Which language model engine "auto" comes to here."""
    if settings.llm_engine != "auto":
        return settings.llm_engine
    if settings.llm_base_url:
        return "openai"
    return "llama.cpp" if importlib.util.find_spec("xllamacpp") else "transformers"


def build_engines(settings: Settings, loaded: Callable[[str], None] = lambda _: None) -> Engines:
    """Load every engine of the settings' role, side by side; those that are elsewhere are asked who they are.

    Args:
        settings: which ones.
        loaded: told the role of each as it is there, from the thread that loaded it.

    Raises:
        EngineError, pipeline.models.ModelError: one cannot be loaded; the message says what to do.
    """
    CORES.resize(settings.cores or usable_cores())
    store = ModelStore(settings.models_dir)
    loaders: dict[str, Callable[[Settings, ModelStore], Engine]] = {
        "stt": _stt,
        "llm": _llm,
        "tts": _tts,
        "turn": _turn,
        "vad": _vad,
        "embedder": _embedder,
    }
    builders: dict[str, Callable[[], Engine]] = {
        role: partial(loaders[role], settings, store) for role in engines_here(settings)
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
    return None if settings.embedder_engine == "none" else _embedder(settings, ModelStore(settings.models_dir))


def build_llm(settings: Settings) -> LanguageModel:
    """The language model, alone and as the server has it, for benches. Raises as above."""
    return _llm(settings, ModelStore(settings.models_dir))


def build_stt(settings: Settings) -> SpeechToText:
    """What hears, alone and as the server has it, for benches. Raises as above."""
    return _stt(settings, ModelStore(settings.models_dir))


def _place(store: ModelStore, name: str) -> Path:
    """Folder of a model: a path as it is, anything else by its id."""
    path = Path(name).expanduser()
    return path if path.exists() and ("/" in name or "\\" in name) else store.path(name)


def lanes_of(wanted: int | None, settings: Settings) -> int:
    """Jobs of an engine at once: as many as there are cores, because `pipeline.scheduling.cores` never lets more run.

    With fewer, what somebody waits for would wait for optional work of the same engine while cores are free.
    """
    return wanted or min(MOST_LANES, settings.cores or usable_cores())


def _vad(settings: Settings, store: ModelStore) -> VoiceActivityDetector:
    from pipeline.engines.vad.silero import SileroVad

    return SileroVad(_place(store, settings.vad_model))


def _turn(settings: Settings, store: ModelStore) -> TurnDetector:
    from pipeline.engines.turn.smart_turn import SmartTurn

    return SmartTurn(_place(store, settings.turn_model))


def _stt(settings: Settings, store: ModelStore) -> SpeechToText:
    from pipeline.engines.stt.faster_whisper import FasterWhisper

    return FasterWhisper(
        _place(store, settings.stt_model),
        lanes=lanes_of(settings.stt_lanes, settings),
        # What the self-check chose comes later: `server.calibration.calibrate.apply`.
        compute_type="float32" if settings.stt_compute_type == "float32" else "int8",
        languages=settings.languages,
        vad=_vad(settings, store),
    )


def _llm(settings: Settings, store: ModelStore) -> LanguageModel:
    engine = llm_engine(settings)
    if engine == "openai":
        from pipeline.engines.remote.openai_compatible import Endpoint, OpenAiChat

        if not settings.llm_base_url:
            raise EngineError("llm_engine is openai, but llm_base_url is not set (MORGAN_LLM_BASE_URL)")
        endpoint = Endpoint(settings.llm_base_url, settings.llm_api_key.get_secret_value())
        return OpenAiChat(endpoint, settings.llm_model)
    if engine == "transformers":
        from pipeline.engines.llm.transformers_lm import TransformersLanguageModel

        return TransformersLanguageModel(_place(store, mind_of(settings, store)), threads=settings.llm_threads)
    from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
    from pipeline.engines.llm.llama_weights import quick_weights

    weights = _place(store, mind_of(settings, store))
    if settings.llm_requantize:
        weights = quick_weights(weights, settings.models_dir / "requantized")
    return LlamaCppLanguageModel(LlamaOptions(weights, threads=settings.llm_threads))


def mind_of(settings: Settings, store: ModelStore) -> str:
    """The language model's name; where nobody has chosen (`server.minds`), that of the quick one."""
    if settings.llm_model != AUTO_MIND:
        return settings.llm_model
    return next(model.id for model in store.manifest.defaults() if model.role == "llm")


def _embedder(settings: Settings, store: ModelStore) -> TextEmbedder:
    folder = _place(store, settings.embedder_model)
    if settings.embedder_engine == "transformers":
        from pipeline.engines.embedding.transformers_embedder import TransformersEmbedder

        return TransformersEmbedder(folder)
    from pipeline.engines.embedding.bert_embedder import BertEmbedder

    return BertEmbedder(folder, settings.models_dir / "converted")


def _tts(settings: Settings, store: ModelStore) -> TextToSpeech:
    if settings.tts_engine == "openai":
        from pipeline.engines.remote.openai_compatible import Endpoint, OpenAiSpeech

        if not settings.tts_base_url:
            raise EngineError("tts_engine is openai, but tts_base_url is not set (MORGAN_TTS_BASE_URL)")
        endpoint = Endpoint(settings.tts_base_url, settings.tts_api_key.get_secret_value())
        return OpenAiSpeech(endpoint, settings.tts_model, [settings.tts_voice])
    first = _local_voice(settings.tts_voice, settings, store)
    others = [_local_voice(voice, settings, store) for voice in settings.tts_voices]
    return SeveralVoices(first, *others) if others else first


def _local_voice(name: str, settings: Settings, store: ModelStore) -> TextToSpeech:
    """The engine that fits what lies in a folder.

    Args:
        name: model id or folder; "#" and a voice of it make that one the default, as in "kokoro-82m#af_heart".
    """
    name, _, speaker = name.partition("#")
    folder = _place(store, name)
    if is_csm(folder):
        from pipeline.engines.tts.csm import Csm

        return Csm(folder)
    if is_kokoro(folder):
        from pipeline.engines.tts.kokoro import Kokoro

        return Kokoro(folder, lanes=lanes_of(settings.tts_lanes, settings), default=speaker or None)
    from pipeline.engines.tts.piper import Piper

    return Piper(folder, lanes=lanes_of(settings.tts_lanes, settings), default=speaker or None)


def is_csm(folder: Path) -> bool:
    """Whether a folder holds a CSM in the Hugging Face layout."""
    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.get("model_type") == "csm"


def is_kokoro(folder: Path) -> bool:
    """Whether a folder holds a Kokoro: one model, and voices beside it."""
    return any(folder.glob("*.npz")) or any((folder / "voices").glob("*.bin"))
