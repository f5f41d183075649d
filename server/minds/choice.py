"""Chooses the language model: the wisest of the manifest that answers in time on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engines.gpu import free_gpu_memory
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.models import Model, ModelStore
from pipeline.processor import usable_memory
from server.calls.capacity import others_s, wait_s
from server.engines.factory import engines_here, llm_engine
from server.engines.library import all_on_gpu
from server.minds.speed_book import SpeedBook, load_speeds
from server.settings import AUTO_MIND, Settings

SPOKEN_TOKEN_S = 1 / 6
"""Longest time of a token: speech takes four a second, and whatever else runs must not make it stop for breath."""

CLAUSE_S = 1.5
"""Longest time to the end of the first clause."""

MOST_OF_QUICK = 1.5
"""A caller waits so many times as long for an answer as with the quick model, at most."""

HIDDEN = 0.35
"""Of what a wiser model takes longer, the share that no caller waits for: it reads their words while they speak, and
answers on suspicion before they fall silent. On an AMD Zen 4 0.84 s were counted for Qwen2.5-Coder-0.5B without this,
and 0.72 s heard; 0.50 s were counted for the quick model, and heard (`morgan bench capacity`)."""

FORETOLD = 1.25
"""What is only foretold may take so much more: it is fetched then, and measured before it answers."""

MEMORY_OF_SIZE = 1.5
MEMORY_BESIDE = 300_000_000
"""Memory that a model takes: its file, half as much again for the conversations, and what works beside it."""

CACHED_TOKENS = 8 * 2048
"""Tokens of conversations that a GPU keeps memory for from the start; elsewhere it is taken as they come."""

GPU_BESIDE = 500_000_000
"""Memory of a GPU that llama.cpp takes for what it computes, whatever the model."""


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """What a language model may take.

    Attributes:
        free: bytes; None where that is not known.
        on_gpu: whether it is the GPU's.
    """

    free: int | None
    on_gpu: bool = False

    def lacking_for(self, model: Model) -> str:
        """Why a model does not fit, in words; empty where it does."""
        taken = memory_on_gpu(model) if self.on_gpu else memory_of(model)
        if self.free is None or taken <= self.free:
            return ""
        what = "memory of the GPU" if self.on_gpu else "memory"
        return f"takes {taken / 1e9:.1f} GB of {what}, and {self.free / 1e9:.1f} are free"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to answer.

    Attributes:
        now: id of the model to begin with, the quick one.
        better: ids of wiser ones that this machine affords, as it seems, the wisest first.
        left: why each wiser one is not among them, in words.
    """

    now: str
    better: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def too_slow(speed: LanguageModelSpeed, known: SpeedBook, quick_id: str) -> str:
    """Why a model does not answer in time or speaks with gaps, in words; empty where it does well.

    Args:
        speed: of the model.
        known: what was measured on this machine.
        quick_id: of the model that would answer in its place.
    """
    quick = known.speeds.get(quick_id)
    others = others_s(None) if known.others_s is None else known.others_s
    about = "" if speed.measured else "about "
    if speed.token_s > SPOKEN_TOKEN_S:
        return f"{about}{1 / speed.token_s:.0f} tokens/s here, too slow for a call"
    as_long = 1.0 if quick is None else _times_as_long(speed, quick, others)
    clause = f"{about}{speed.voiced_s:.1f} s to the first clause here"
    if as_long > MOST_OF_QUICK * (1.0 if speed.measured else FORETOLD):
        return f"{clause}, a caller would wait {as_long:.1f} times as long"
    return f"{clause}, too slow for a call" if speed.voiced_s > CLAUSE_S else ""


def _times_as_long(speed: LanguageModelSpeed, quick: LanguageModelSpeed, others: float) -> float:
    """How many times as long a caller waits for one model as for the quick one."""
    waits = wait_s(others, quick.voiced_s)
    return 1 + (1 - HIDDEN) * (wait_s(others, speed.voiced_s) - waits) / waits


def memory_of(model: Model) -> int:
    """Bytes of memory that a model takes, about."""
    return int(model.size * MEMORY_OF_SIZE) + MEMORY_BESIDE


def memory_on_gpu(model: Model) -> int:
    """Bytes of a GPU's memory that a language model takes there, about."""
    cache = model.mind.cache if model.mind is not None else 0
    return model.size + cache * CACHED_TOKENS + GPU_BESIDE


def choose(minds: Sequence[Model], known: SpeedBook, memory: FreeMemory, loaded: str = "") -> Choice:
    """Choose among models.

    Args:
        minds: language models, one of them fetched unasked (`Model.default`).
        known: what was measured on this machine.
        memory: that may be used.
        loaded: id of a model that answers already, and has taken its memory.
    """
    sizes = {model.id: model.size for model in minds}
    first = quick_model(minds)
    ranked = sorted((model for model in minds if model.mind is not None), key=_wisdom, reverse=True)

    def against(model: Model) -> str:
        """Why this machine does not afford a model; empty where it does."""
        speed = known.expected(model, sizes)
        if speed is None:
            return f"{model.id}: nothing is measured yet"
        if problem := too_slow(speed, known, first.id):
            return f"{model.id}: {problem}"
        lacking = "" if model.id == loaded else memory.lacking_for(model)
        return f"{model.id}: {lacking}" if lacking else ""

    wiser = {model.id: against(model) for model in ranked if _wisdom(model) > _wisdom(first)}
    better = tuple(name for name, problem in wiser.items() if not problem)
    return Choice(first.id, better, tuple(problem for problem in wiser.values() if problem))


def quick_model(minds: Sequence[Model]) -> Model:
    """The one that is fetched unasked, and begins."""
    return next((model for model in minds if model.default), minds[0])


def _wisdom(model: Model) -> int:
    return model.mind.rank if model.mind is not None else 0


def chooses_mind(settings: Settings) -> bool:
    """Whether the language model is in this process, on llama.cpp, and left to choose."""
    return settings.llm_model == AUTO_MIND and llm_engine(settings) == "llama.cpp" and "llm" in engines_here(settings)


def choose_mind(settings: Settings) -> Choice:
    """Choose for these settings; what they name is what answers."""
    if not chooses_mind(settings):
        return Choice(settings.llm_model)
    return choose_among(settings, ModelStore(settings.models_dir))


def choose_among(settings: Settings, store: ModelStore, loaded: str = "") -> Choice:
    """Choose among all language models of a store, whatever the settings name; `loaded` as in `choose`."""
    minds = language_models(store)
    return choose(minds, load_speeds(settings), free_memory(settings), loaded)


def free_memory(settings: Settings) -> FreeMemory:
    """Memory that a language model of these settings may take: the GPU's where all of it lies there."""
    if all_on_gpu(settings):
        return FreeMemory(free_gpu_memory(), on_gpu=True)
    return FreeMemory(usable_memory())


def resolved(settings: Settings) -> Settings:
    """The settings with the model that is to answer in place of "auto"."""
    return settings.model_copy(update={"llm_model": choose_mind(settings).now})


def language_models(store: ModelStore) -> tuple[Model, ...]:
    """Those of the manifest."""
    return tuple(model for model in store.manifest.models if model.role == "llm")


def is_here(store: ModelStore, model_id: str) -> bool:
    """Whether all files of a model are here and were right when they were read last."""
    return all(report.state == "ok" for report in store.verify([model_id], read_again=False))
