"""Where an engine computes: what was asked for, the GPU where it works and is quicker, and the CPU with the reason."""

import time
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from pipeline.engines import device as module
from pipeline.engines.device import NO_GPU, Placement, placed
from pipeline.engines.gpu import Gpu, gpu, load_cuda_libraries
from pipeline.engines.protocols import EngineUnavailableError

CARD = Gpu("a card", (9, 0), (13, 0))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with a GPU."""
    monkeypatch.setattr(module, "gpu", lambda: CARD)
    module._warn_once.cache_clear()
    yield
    module._warn_once.cache_clear()


def computing(seconds: dict[str, float]) -> Callable[[str], object]:
    """A trial that takes so long on each device."""
    return lambda built: time.sleep(seconds[built])  # type: ignore[func-returns-value]


def failing(device: str) -> str:
    if device == "cuda":
        raise RuntimeError("libcublas.so.12 is not found")
    return device


def test_where_there_is_no_gpu_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu", lambda: None)
    tried: list[str] = []
    assert placed("it", "auto", str, tried.append) == ("cpu", Placement("cpu", NO_GPU))
    assert tried == []
    assert Placement("cpu", NO_GPU).configuration == {}


@pytest.mark.parametrize(("seconds", "taken"), [((0.02, 0.001), "cuda"), ((0.001, 0.02), "cpu")])
def test_the_quicker_one_is_taken_and_the_other_given_back(
    card: None, seconds: tuple[float, float], taken: str
) -> None:
    took = dict(zip(("cpu", "cuda"), seconds, strict=True))
    given_back: list[str] = []
    built, placement = placed("it", "auto", str, computing(took), discard=given_back.append)
    assert (built, placement.device) == (taken, taken)
    assert given_back == [{"cpu": "cuda", "cuda": "cpu"}[taken]]
    assert "ms on a card" in placement.reason
    assert placement.configuration == {"device": taken, "device_reason": placement.reason}


def test_what_is_not_compared_is_built_once(card: None) -> None:
    built: list[str] = []
    assert placed("it", "auto", built.append, lambda _: None, compare=False)[1].device == "cuda"
    assert built == ["cuda"]


def test_a_gpu_that_fails_leaves_the_cpu_and_one_warning_that_says_why(card: None) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            built, placement = placed("it", "auto", failing, lambda _: None)
    assert (built, placement.device) == ("cpu", "cpu")
    assert "a card was tried, and failed: libcublas.so.12 is not found" in placement.reason
    assert [(entry["log_level"], entry["problem"]) for entry in logs] == [("warning", placement.reason)]


def test_a_trial_that_fails_does_too(card: None) -> None:
    def trial(built: str) -> None:
        failing(built)

    assert placed("it", "auto", str, trial)[0] == "cpu"


def test_a_library_that_cannot_use_it_is_not_asked_to(card: None) -> None:
    built: list[str] = []
    _, placement = placed("it", "auto", built.append, lambda _: None, lacking=lambda: "it was built without")
    assert built == ["cpu"]
    assert placement == Placement("cpu", "it was built without")


def test_a_gpu_that_was_asked_for_and_fails_stops_the_start() -> None:
    with pytest.raises(EngineUnavailableError, match=r"it cannot be loaded on cuda .*libcublas.*set the device to cpu"):
        placed("it", "cuda", failing, lambda _: None)


def test_a_machine_without_a_driver_has_no_gpu() -> None:
    if gpu() is not None:
        pytest.skip("There is a GPU.")
    load_cuda_libraries()
    assert placed("it", "auto", str, lambda _: None)[1].reason == NO_GPU
