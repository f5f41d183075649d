"""How many questions of `morgan bench minds` language models answered right on this machine, kept for lists of them."""

from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from pipeline.models import Model
from server.engines.kept_json import write_json
from server.settings import Settings

log = structlog.get_logger(__name__)

QUESTIONS = 60
"""That there are."""

_KEPT = TypeAdapter(dict[str, int])


def load_scores(settings: Settings) -> Mapping[str, int]:
    """Right answers of `QUESTIONS`, by `asked_model`."""
    try:
        return _KEPT.validate_json(_path(settings).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("scores of language models cannot be read", problem=str(error))
        return {}


def keep_score(settings: Settings, right: int) -> None:
    """Keep how many the model of the settings answered right; where nothing can be written it is asked again."""
    path = _path(settings)
    try:
        write_json(path, {**load_scores(settings), asked_model(settings): right})
    except OSError as error:
        log.warning("the score of a language model is not kept", path=str(path), problem=str(error))


def asked_model(settings: Settings) -> str:
    """Which model the settings mean: an id or a path, at an endpoint its name with where that is."""
    if settings.llm_base_url:
        return f"{settings.llm_model} at {settings.llm_base_url}"
    return settings.llm_model


def right_of(model: str, scores: Mapping[str, int], known: Model | None = None) -> int | None:
    """Right answers of a model: as asked here, else as in the manifest; None where it was not asked."""
    if model in scores:
        return scores[model]
    return known.mind.right if known is not None and known.mind is not None else None


def _path(settings: Settings) -> Path:
    return settings.models_dir / "calibration" / "minds.json"
