"""What was measured on this machine, kept per processor, versions of the engines and weights."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter

from pipeline.engines.device import device_of
from pipeline.engines.gpu import gpu
from pipeline.engines.protocols import Engine, Engines
from pipeline.engines.speeds import EngineSpeeds
from pipeline.engines.stt.runtime import Runtime
from pipeline.models import ModelStore
from pipeline.processor import Machine, this_machine
from pipeline.scheduling.cores import usable_cores
from server.calibration.computing import ComputingFigures, times_as_long
from server.calibration.windows import WindowFigures
from server.engines.factory import llm_engine
from server.engines.kept_json import write_json
from server.engines.library import library_title
from server.settings import Settings

FORMAT = 8
_ENGINES = ("morgan-voice", "ctranslate2", "onnxruntime", "xllamacpp", "transformers", "torch", "piper-tts")
"""Distributions that compute, or say what is computed: figures of one version say little about another one."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Profile:
    """Settings that came from measuring.

    Attributes:
        machine: the processor.
        padding_s: silence behind the speech in Whisper's first windows, seconds.
        compute_type: of Whisper, as CTranslate2 names them; empty where it is none of this process.
        threads: inside one of its transcriptions.
        computing: what compute type and threads were chosen from; empty where there was nothing to choose, or no speech
            to test with.
        windows: what the padding was chosen from; empty likewise.
        speeds: of the engines; None where nobody has measured them.
        runtime: what hears English on Whisper's first window.
        engines: that were measured, as `engine_names` tells them.
        devices: where each engine computes and why, by role; empty where there is no GPU.
    """

    machine: str
    padding_s: float
    compute_type: str
    threads: int = 1
    computing: tuple[ComputingFigures, ...] = ()
    windows: tuple[WindowFigures, ...] = ()
    speeds: EngineSpeeds | None = None
    runtime: Runtime = "ctranslate2"
    engines: tuple[str, ...] = ()
    devices: dict[str, str] = field(default_factory=dict)

    def computing_in_words(self) -> str:
        """How Whisper computes, and by how much the other ways are slower or faster."""
        words = f"{self.compute_type} on {self.threads} thread{'s' * (self.threads != 1)}"
        if self.runtime == "onnx":
            words += ", English by onnxruntime"
        pairs = zip(self.computing[::2], self.computing[1::2], strict=True)
        others = [
            f"{other.name} on {other.threads} takes {times_as_long(other.seconds, one.seconds):.2f} times "
            f"as long as {one.name} on {one.threads}"
            for one, other in pairs
        ]
        return f"{words} ({', '.join(others)})" if others else words


_KEPT = TypeAdapter(Profile)


def engine_names(engines: Engines) -> tuple[str, ...]:
    """Which engine does what, and which on which GPU: figures of one say nothing about another one."""
    card = gpu()
    place = f" on {card.name if card else 'cuda'}"
    return tuple(
        f"{role}: {engine.name}{place if device_of(engine) == 'cuda' else ''}"
        for role, engine in sorted(engines.all().items())
    )


def devices_of(engines: Engines) -> dict[str, str]:
    """Where each engine of this process computes and why, by role; empty where there is no GPU."""
    configured = {role: _configuration(engine) for role, engine in engines.all().items()}
    return {
        role: f"{each['device']} ({each['device_reason']})" for role, each in configured.items() if "device" in each
    }


def _configuration(engine: Engine) -> Mapping[str, Any]:
    return getattr(engine, "configuration", {})


def profile_path(settings: Settings, machine: Machine | None = None) -> Path:
    """Where the profile of this machine with these settings lies, whether it is there or not."""
    versions = [f"{name} {_version(name)}" for name in _ENGINES]
    models = [
        settings.stt_engine,
        settings.tts_engine,
        settings.turn_engine,
        settings.stt_model,
        settings.stt_compute_type,
        settings.stt_runtime,
        llm_engine(settings),
        library_title(settings),
        settings.llm_model,
        settings.tts_voice,
        settings.turn_model,
    ]
    if settings.engine_options:
        models.append(json.dumps(settings.engine_options, sort_keys=True, default=str))
    models += _weights(settings, (settings.stt_model, settings.llm_model, settings.tts_voice, settings.turn_model))
    cores = str(settings.cores or usable_cores())
    where = (str(FORMAT), (machine or this_machine()).describe(), cores, settings.role, settings.llm_base_url or "")
    told = "\n".join((*where, *versions, *models))
    return settings.models_dir / "calibration" / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"


def load_profile(settings: Settings) -> Profile | None:
    """The profile of this machine; None where nothing was measured, or what was kept cannot be read."""
    path = profile_path(settings)
    try:
        return _KEPT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("what was measured cannot be read; it is measured again", path=str(path), problem=str(error))
        return None


def save_profile(settings: Settings, profile: Profile) -> Path | None:
    """Keep a profile; returns where, None where the folder cannot be written (it is then measured at every start)."""
    path = profile_path(settings)
    try:
        write_json(path, asdict(profile))
    except OSError as error:
        log.warning("what was measured is not kept", path=str(path), problem=str(error))
        return None
    return path


def _weights(settings: Settings, names: Sequence[str]) -> list[str]:
    """Digests of the models among some names: of the same name, other weights may come one day."""
    manifest = ModelStore(settings.models_dir).manifest
    return [file.sha256 for model in manifest.models if model.id in names for file in model.files]


@cache
def _version(distribution: str) -> str:
    """What is installed of a distribution; read once, a process computes with what it began with."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "-"
