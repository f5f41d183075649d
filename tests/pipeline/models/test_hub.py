"""Fetching from a hub: resume, retries, and what a hub can do wrong."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.models import FetchError, FetchProgress, ModelStore
from pipeline.models.hub import Hub
from tests.pipeline.models.conftest import CONFIG, WEIGHTS
from tests.pipeline.models.hub_server import HubServer

MODEL_URL = "owner/tiny/resolve/abc123/model.bin"


@pytest.fixture(autouse=True)
def _no_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the hub does not give is not to be had."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))


def test_files_come_to_their_places_with_progress_up_to_the_last_byte(hub_store: Callable[[], ModelStore]) -> None:
    events: list[FetchProgress] = []
    store = hub_store()
    store.ensure(["tiny"], events.append)
    assert (store.path("tiny") / "model.bin").read_bytes() == WEIGHTS
    assert (store.path("tiny") / "sub" / "config.json").read_bytes() == CONFIG
    total = len(WEIGHTS) + len(CONFIG)
    downloads = [event for event in events if event.phase == "downloading"]
    assert [event.done for event in downloads] == sorted(event.done for event in downloads)
    assert (downloads[-1].done, downloads[-1].total, downloads[-1].source) == (total, total, "hub")
    assert events[-1].phase == "done"


def test_a_broken_download_goes_on_where_it_stopped(
    hub_store: Callable[[], ModelStore], hub_server: HubServer, pauses: list[float]
) -> None:
    hub_server.break_after = [100_000, 50_000]
    store = hub_store()
    store.ensure(["tiny"])
    assert (store.path("tiny") / "model.bin").read_bytes() == WEIGHTS
    ranges = [ranges for path, ranges in hub_server.downloads if path == MODEL_URL]
    assert ranges == ["", "bytes=100000-", "bytes=150000-"]
    assert pauses == [1.0, 1.0]


def test_the_next_process_goes_on_where_the_last_one_stopped(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    hub_server.break_after = [100_000, 0, 0, 0]
    with pytest.raises(FetchError, match="broke off"):
        hub_store().ensure(["tiny"])
    hub_server.requests.clear()
    store = hub_store()
    store.ensure(["tiny"])
    assert hub_server.downloads[0] == (MODEL_URL, "bytes=100000-")
    assert (store.path("tiny") / "model.bin").read_bytes() == WEIGHTS


def test_a_hub_without_ranges_is_read_from_the_first_byte_again(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    hub_server.honours_ranges = False
    hub_server.break_after = [100_000]
    store = hub_store()
    store.ensure(["tiny"])
    assert (store.path("tiny") / "model.bin").read_bytes() == WEIGHTS


def test_a_partial_file_of_other_content_is_thrown_away_and_fetched_anew(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    store = hub_store()
    part = store.root / ".incoming" / "tiny" / "parts" / "model.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(50_000))
    store.ensure(["tiny"])
    assert (store.path("tiny") / "model.bin").read_bytes() == WEIGHTS
    assert [ranges for path, ranges in hub_server.downloads if path == MODEL_URL] == ["bytes=50000-", ""]


def test_a_file_of_the_wrong_content_is_named_and_deleted(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    hub_server.files[MODEL_URL] = bytes(len(WEIGHTS))
    store = hub_store()
    with pytest.raises(
        FetchError, match=r"model\.bin from http://127\.0\.0\.1:\d+ has sha256 \w{12}\.\.\. in place of"
    ):
        store.ensure(["tiny"])
    assert [path.name for path in store.root.rglob("*model.bin*")] == []


@pytest.mark.parametrize(
    ("extra", "message"), [(b"more", "longer than"), (b"", "has 299,999 bytes in place of 300,000")]
)
def test_a_file_of_the_wrong_length_is_refused(
    hub_store: Callable[[], ModelStore], hub_server: HubServer, extra: bytes, message: str
) -> None:
    hub_server.files[MODEL_URL] = WEIGHTS + extra if extra else WEIGHTS[:-1]
    with pytest.raises(FetchError, match=message):
        hub_store().ensure(["tiny"])


def test_a_hub_that_answers_503_is_not_asked_for_the_next_file(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    hub_server.status = 503
    with pytest.raises(FetchError, match="answers 503"):
        hub_store().ensure(["tiny"])
    assert len(hub_server.downloads) == 1


def test_the_hub_is_probed_once_and_remembered(hub_server: HubServer) -> None:
    hub = Hub({"HF_ENDPOINT": hub_server.endpoint})
    assert [hub.reachable() for _ in range(3)] == [True, True, True]
    assert [method for method, _, _ in hub_server.requests] == ["HEAD"]


def test_a_hub_that_is_switched_off_is_not_asked_at_all(hub_server: HubServer) -> None:
    assert not Hub({"HF_ENDPOINT": hub_server.endpoint, "HF_HUB_OFFLINE": "1"}).reachable()
    assert hub_server.requests == []


def test_a_hub_that_does_not_answer_costs_seconds_once() -> None:
    started = time.monotonic()
    hub = Hub({"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert [hub.reachable(), hub.reachable()] == [False, False]
    assert time.monotonic() - started < 30
