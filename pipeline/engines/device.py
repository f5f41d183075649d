"""Where an engine computes: on the CPU, or on a GPU that was seen to work and to be quicker."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeVar

import structlog

from pipeline.engines.gpu import gpu, load_cuda_libraries
from pipeline.engines.protocols import EngineUnavailableError

Device = Literal["auto", "cpu", "cuda"]
"""auto: the GPU where the engine's library sees one that works and is quicker."""

NO_GPU: Final = "there is no NVIDIA GPU"

_WORTH: Final = 0.7
"""A GPU takes at most so much of the time of the CPU, to be taken: each process that uses it takes its memory."""

_TRIALS = 5
_TRIAL_LIMIT_S = 1.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an engine computes, and why there.

    Attributes:
        device: "cpu" or "cuda".
        reason: in words.
    """

    device: str
    reason: str

    @property
    def configuration(self) -> dict[str, Any]:
        """For health; nothing where there is no GPU to speak of."""
        return {} if self.reason == NO_GPU else {"device": self.device, "device_reason": self.reason}


def placed(
    label: str,
    device: str,
    build: Callable[[str], T],
    trial: Callable[[T], object],
    *,
    lacking: Callable[[], str] = str,
    compare: bool = True,
    discard: Callable[[T], object] = lambda _: None,
) -> tuple[T, Placement]:
    """Build what computes for an engine, where it computes best.

    A device that was asked for is taken; the trial tells at the start if it does not work, and not a caller. With
    "auto" a GPU is tried, and the CPU beside it where that may be quicker: Piper takes longer on an H200, which has to
    be prepared for each length of a clause. A GPU that fails is told in a warning.

    Args:
        label: names the engine in the warning.
        device: "auto", "cpu" or "cuda".
        build: makes it on "cpu" or "cuda"; raises EngineUnavailableError, or what its library raises.
        trial: has it compute something of usual length.
        lacking: why its library cannot use any GPU, "" if it can; that is as it was installed, and no warning.
        compare: whether the CPU is timed too; not for what takes long to load and is never quicker there.
        discard: gives back what is not taken.

    Returns:
        What was built, and where and why.

    Raises:
        EngineUnavailableError: the GPU was asked for, and does not do it. What `build` raises for the CPU.
    """
    if device == "cpu":
        return build("cpu"), Placement("cpu", "set so")
    if device == "cuda":
        return _as_asked(label, build, trial), Placement("cuda", "set so")
    if (card := gpu()) is None:
        return build("cpu"), Placement("cpu", NO_GPU)
    load_cuda_libraries()
    if problem := lacking():
        return build("cpu"), Placement("cpu", problem)
    try:
        made = build("cuda")
        trial(made)
    except Exception as error:  # libraries have types of their own, and a GPU has a hundred ways to fail
        problem = f"{card.name} was tried, and failed: {error}"
        _warn_once(label, problem)
        return build("cpu"), Placement("cpu", problem)
    if not compare:
        return made, Placement("cuda", f"{card.name} was tried, and works")
    other = build("cpu")
    on_gpu = _seconds(trial, made)
    on_cpu = _seconds(trial, other)
    reason = f"{on_gpu * 1000:.2g} ms on {card.name}, {on_cpu * 1000:.2g} ms on the CPU"
    if on_gpu <= _WORTH * on_cpu:
        discard(other)
        return made, Placement("cuda", reason)
    discard(made)
    return other, Placement("cpu", reason)


def device_of(engine: object) -> str:
    """Where an engine computes, such as "cpu" or "cuda"; "cpu" where it does not say.

    What works elsewhere counts as the CPU: it may well share ours.
    """
    configured: Mapping[str, Any] = getattr(engine, "configuration", {})
    return str(configured.get("device") or getattr(engine, "device", "cpu"))


def _as_asked(label: str, build: Callable[[str], T], trial: Callable[[T], object]) -> T:
    load_cuda_libraries()
    try:
        made = build("cuda")
        trial(made)
    except EngineUnavailableError:
        raise
    except Exception as error:  # see `placed`
        raise EngineUnavailableError(
            f"{label} cannot be loaded on cuda ({error}): check its driver, cuBLAS and cuDNN, or set the device to cpu"
        ) from error
    return made


def _seconds(trial: Callable[[T], object], made: T) -> float:
    """Of a trial, the median, the first one left out; few trials of what takes long."""
    trial(made)
    took: list[float] = []
    while len(took) < _TRIALS and sum(took) < _TRIAL_LIMIT_S:
        began = time.perf_counter()
        trial(made)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


@cache
def _warn_once(label: str, problem: str) -> None:
    log.warning("an engine stays on the CPU", engine=label, problem=problem)
