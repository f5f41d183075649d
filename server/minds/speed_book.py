"""How fast each language model was on this machine, kept from start to start."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from pipeline.models import Model
from pipeline.processor import this_machine
from pipeline.scheduling.cores import usable_cores
from server.engines.library import library_title
from server.settings import Settings

log = structlog.get_logger(__name__)

GROWTH = 0.8
"""Exponent by which the time of a model grows with its size: from 98 MB to 1.1 GB by 7 (11 times the size)."""


@dataclass(frozen=True, slots=True)
class MindSpeed:
    """Of one language model on this machine.

    Attributes:
        first_s: seconds to the first token of a prompt whose beginning is known.
        token_s: and to each further one, on one thread.
        measured: False where it was worked out from another model.
    """

    first_s: float
    token_s: float
    measured: bool = True

    def scaled(self, size: int, known_size: int) -> "MindSpeed":
        """About the speed of a model of another size (bytes of its file)."""
        factor = (size / known_size) ** GROWTH
        return MindSpeed(self.first_s * factor, self.token_s * factor, measured=False)


def expected_speed(model: Model, known: Mapping[str, MindSpeed], sizes: Mapping[str, int]) -> MindSpeed | None:
    """The speed of a model, measured or worked out from the one nearest in size; None where nothing was measured.

    Args:
        model: which one.
        known: what was measured, by model id.
        sizes: bytes of models, by id.
    """
    if model.id in known:
        return known[model.id]
    near = [name for name in known if name in sizes]
    if not near:
        return None
    nearest = min(near, key=lambda name: abs(sizes[name] - model.size))
    return known[nearest].scaled(model.size, sizes[nearest])


def load_speeds(settings: Settings) -> dict[str, MindSpeed]:
    """What was measured on this machine, by model id."""
    try:
        kept = json.loads(_path(settings).read_text(encoding="utf-8"))
        return {name: MindSpeed(float(each["first_s"]), float(each["token_s"])) for name, each in kept.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("speeds of language models cannot be read; they are measured again", problem=str(error))
        return {}


def keep_speed(settings: Settings, model_id: str, speed: MindSpeed) -> None:
    """Keep what was measured; where nothing can be written it is measured again at the next start."""
    _write(settings, {**load_speeds(settings), model_id: speed})


def begin_anew(settings: Settings, model_id: str, speed: MindSpeed) -> None:
    """Forget what was measured of other models: a machine that was busy then is not for ever."""
    _write(settings, {model_id: speed})


def _write(settings: Settings, kept: Mapping[str, MindSpeed]) -> None:
    path = _path(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps({name: asdict(each) for name, each in kept.items()}, indent=2), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        log.warning("the speed of a language model is not kept", path=str(path), problem=str(error))


def _path(settings: Settings) -> Path:
    """One file for each processor, number of cores and build of llama.cpp."""
    cores = str(settings.cores or usable_cores())
    told = "\n".join((this_machine().describe(), cores, library_title(settings), str(settings.llm_threads)))
    return settings.models_dir / "calibration" / f"minds-{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"
