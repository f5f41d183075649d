"""The store: what is right stays untouched, what is not is mended, and a second start reads nothing."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.models import (
    FetchError,
    FetchProgress,
    ModelCorruptError,
    ModelMissingError,
    ModelStore,
    UnknownModelError,
    default_root,
)
from tests.pipeline.models.conftest import WEIGHTS
from tests.pipeline.models.hub_server import HubServer


def test_a_missing_model_is_told_with_the_command_that_fetches_it(offline_store: ModelStore) -> None:
    with pytest.raises(ModelMissingError, match=r"model\.bin is not there .*`morgan models pull tiny`"):
        offline_store.path("tiny")


def test_a_cut_off_file_is_told_with_the_command_that_mends_it(hub_store: Callable[[], ModelStore]) -> None:
    store = hub_store()
    store.ensure(["tiny"])
    os.truncate(store.root / "tiny" / "model.bin", 1000)
    with pytest.raises(ModelCorruptError, match=r"model\.bin has 1,000 bytes in place of 300,000.*models pull tiny"):
        hub_store().path("tiny")


def test_a_flipped_bit_is_found_and_only_that_file_fetched_again(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    hub_store().ensure(["tiny"])
    path = hub_store().root / "tiny" / "model.bin"
    path.write_bytes(bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:])
    hub_server.requests.clear()
    store = hub_store()
    with pytest.raises(ModelCorruptError, match=r"model\.bin has sha256"):
        store.path("tiny")
    store.ensure(["tiny"])
    assert path.read_bytes() == WEIGHTS
    assert hub_server.downloads == [("owner/tiny/resolve/abc123/model.bin", "")]


def test_a_second_start_asks_for_nothing_and_reads_nothing(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    hub_store().ensure(["tiny"])
    hub_server.requests.clear()
    path = hub_store().root / "tiny" / "model.bin"
    # Other content of the same size and time: whoever reads the file sees it, whoever trusts the stamp does not.
    times = path.stat()
    path.write_bytes(bytes(len(WEIGHTS)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    events: list[FetchProgress] = []
    hub_store().ensure(["tiny"], events.append)
    assert [event.phase for event in events] == ["present"]
    assert hub_server.requests == []


def test_verify_reads_again_what_the_stamps_vouch_for(hub_store: Callable[[], ModelStore]) -> None:
    hub_store().ensure(["tiny"])
    path = hub_store().root / "tiny" / "model.bin"
    times = path.stat()
    path.write_bytes(bytes(len(WEIGHTS)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    reports = hub_store().verify(["tiny"])
    assert [(report.file.path, report.state) for report in reports] == [
        ("model.bin", "corrupt"),
        ("sub/config.json", "ok"),
    ]


def test_foreign_stamps_are_not_believed(hub_store: Callable[[], ModelStore]) -> None:
    hub_store().ensure(["tiny"])
    store = hub_store()
    (store.root / "tiny" / ".verified.json").write_text("[not json")
    assert [report.state for report in store.verify(["tiny"], read_again=False)] == ["ok", "ok"]


def test_two_that_want_the_same_model_fetch_it_once(hub_store: Callable[[], ModelStore], hub_server: HubServer) -> None:
    phases: list[str] = []
    threads = [
        threading.Thread(target=hub_store().ensure, args=(["tiny"], lambda event: phases.append(event.phase)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(hub_server.downloads) == 2
    assert (phases.count("done"), phases.count("present")) == (1, 3)


def test_an_unknown_model_stops_before_anything_is_fetched(
    hub_store: Callable[[], ModelStore], hub_server: HubServer
) -> None:
    with pytest.raises(UnknownModelError, match="'huge'"):
        hub_store().ensure(["tiny", "huge"])
    assert hub_server.requests == []


def test_a_folder_that_cannot_be_made_says_which_setting_names_another(
    tmp_path: Path, offline_store: ModelStore
) -> None:
    offline_store.root.write_text("a file is in the way")
    with pytest.raises(FetchError, match=r"Cannot write weights to .*models.*MORGAN_MODELS_DIR"):
        offline_store.ensure(["tiny"])


def test_the_folder_is_the_named_one_or_the_cache_of_the_user() -> None:
    assert default_root({"MORGAN_MODELS_DIR": "/weights"}) == Path("/weights")
    assert default_root({}) == Path.home() / ".cache" / "morgan" / "models"


def test_the_models_of_this_machine_are_those_of_the_manifest(models_dir: Path) -> None:
    reports = ModelStore(models_dir).verify(read_again=True)
    # Nobody has to have pulled every model that there is.
    wrong = [report for report in reports if report.state not in ("ok", "missing")]
    assert [f"{report.model}/{report.file.path}" for report in wrong] == []
    assert any(report.state == "ok" for report in reports)
