"""What is asked of the driver of a GPU: no machine of the tests has one, so two libraries stand in for it."""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from pipeline.engines import gpu as module
from pipeline.engines.gpu import Gpu, free_gpu_memory, gpu

GIB = 1 << 30
CARD = UUID("9f8b2b6e-0c1d-4f0e-8a53-5a1f0c3c2d11")


class Cuda:
    """libcuda: one GPU."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.flags: dict[int, int] = {}

    def cuInit(self, _flags: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.count
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13010
        return 0

    def cuDeviceGetName(self, name: Any, _size: int, _device: int) -> int:  # noqa: N802
        name.value = b"a card"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: int) -> int:  # noqa: N802
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, _device: int) -> int:  # noqa: N802
        memory._obj.value = 80 * GIB
        return 0

    def cuDeviceGetUuid(self, uuid: Any, _device: int) -> int:  # noqa: N802
        uuid.raw = CARD.bytes
        return 0

    def cuDevicePrimaryCtxSetFlags(self, device: int, flags: int) -> int:  # noqa: N802
        self.flags[device] = flags
        return 0


class Nvml:
    """libnvidia-ml, which knows GPUs by their UUID."""

    def __init__(self, free: int = 3 * GIB) -> None:
        self.free = free
        self.open = 0

    def nvmlInit_v2(self) -> int:  # noqa: N802
        self.open += 1
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:  # noqa: N802
        handle._obj.value = 7
        return 0 if uuid == f"GPU-{CARD}".encode() else 6

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        assert handle.value == 7
        memory._obj.free = self.free
        return 0


Driver = Callable[..., None]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Puts a driver in place; what it lacks does not load."""

    def put(**libraries: Any) -> None:
        found = {"libcuda.so.1": libraries.get("cuda"), "libnvidia-ml.so.1": libraries.get("nvml")}

        def load(name: str) -> Any:
            if found[name] is None:
                raise OSError(f"{name}: cannot open shared object file")
            return found[name]

        monkeypatch.setattr(ctypes, "CDLL", load)

    module.gpu.cache_clear()
    yield put
    monkeypatch.undo()
    module.gpu.cache_clear()


def test_a_gpu_is_what_its_driver_tells_of_it(driver: Driver) -> None:
    cuda = Cuda()
    driver(cuda=cuda)
    assert gpu() == Gpu("a card", (9, 0), (13, 1), f"GPU-{CARD}", 80 * GIB)
    assert cuda.flags == {0: 4}, "what waits for it does not spin"


def test_a_driver_without_a_gpu_has_none(driver: Driver) -> None:
    driver(cuda=Cuda(count=0), nvml=Nvml())
    assert gpu() is None
    assert free_gpu_memory() is None


def test_free_memory_is_what_no_process_has_taken(driver: Driver) -> None:
    nvml = Nvml()
    driver(cuda=Cuda(), nvml=nvml)
    assert free_gpu_memory() == 3 * GIB
    nvml.free = GIB
    assert free_gpu_memory() == GIB
    assert nvml.open == 0


@pytest.mark.parametrize("nvml", [None, "of another card"])
def test_where_it_is_not_told_nothing_is_said_of_memory(
    driver: Driver, nvml: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Nvml()
    driver(cuda=Cuda(), nvml=other if nvml else None)
    monkeypatch.setattr(other, "nvmlDeviceGetHandleByUUID", lambda *_: 6)
    assert free_gpu_memory() is None
    assert other.open == 0
