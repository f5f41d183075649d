"""How fast each language model was on this machine, kept from start to start."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from pipeline.engines.gpu import gpu
from pipeline.engines.llm.llama_weights import REVISION
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.models import Model
from pipeline.processor import this_machine
from pipeline.scheduling.cores import usable_cores
from server.engines.kept_json import write_json
from server.engines.library import all_on_gpu, library_title
from server.settings import Settings

log = structlog.get_logger(__name__)

GROWTH = 0.8
"""Exponent by which the time of a model grows with its size: from 98 MB to 1.1 GB by 7 (11 times the size)."""


@dataclass(frozen=True, slots=True)
class SpeedBook:
    """Of one machine.

    Attributes:
        speeds: of language models that were measured, by their ids.
        others_s: what runs in turns with the language model for a single caller (`capacity.others_s`); None where
            nobody has measured it.
    """

    speeds: Mapping[str, LanguageModelSpeed] = field(default_factory=dict)
    others_s: float | None = None

    def expected(self, model: Model, sizes: Mapping[str, int]) -> LanguageModelSpeed | None:
        """The speed of a model, measured or worked out from the one nearest in size; None where nothing was measured.

        Args:
            model: which one.
            sizes: bytes of models, by id.
        """
        if model.id in self.speeds:
            return self.speeds[model.id]
        near = [name for name in self.speeds if name in sizes]
        if not near:
            return None
        nearest = min(near, key=lambda name: abs(sizes[name] - model.size))
        return self.speeds[nearest].times((model.size / sizes[nearest]) ** GROWTH)

    def with_speed(self, model_id: str, speed: LanguageModelSpeed) -> "SpeedBook":
        """With the speed of one model, too, or in place of what is known of it."""
        return replace(self, speeds={**self.speeds, model_id: speed})


_KEPT = TypeAdapter(SpeedBook)


def load_speeds(settings: Settings) -> SpeedBook:
    """What was measured on this machine."""
    try:
        return _KEPT.validate_json(_path(settings).read_bytes())
    except FileNotFoundError:
        return SpeedBook()
    except (OSError, ValueError) as error:
        log.warning("speeds of language models cannot be read; they are measured again", problem=str(error))
        return SpeedBook()


def keep_speeds(settings: Settings, book: SpeedBook) -> None:
    """Keep what was measured; where nothing can be written it is measured again at the next start."""
    path = _path(settings)
    try:
        write_json(path, asdict(book))
    except OSError as error:
        log.warning("the speed of a language model is not kept", path=str(path), problem=str(error))


def keep_speed(settings: Settings, model_id: str, speed: LanguageModelSpeed) -> None:
    """Keep the speed of one model beside those that are kept."""
    keep_speeds(settings, load_speeds(settings).with_speed(model_id, speed))


def _path(settings: Settings) -> Path:
    """One file for each processor, number of cores, build of llama.cpp, form of weights and GPU that it computes on."""
    cores = str(settings.cores or usable_cores())
    card = gpu() if all_on_gpu(settings) else None
    form = f"requantized {REVISION}" if settings.llm_requantize else "as published"
    computing = (library_title(settings), str(settings.llm_threads), form, *((card.name,) if card else ()))
    told = "\n".join((this_machine().describe(), cores, *computing))
    return (
        settings.models_dir / "calibration" / f"language-models-{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"
    )
