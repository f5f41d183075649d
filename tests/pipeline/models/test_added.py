"""A GGUF file of any repository of the hub becomes one of the models."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.models import FetchError, ManifestError, ModelStore
from pipeline.models.added import FILE
from pipeline.models.hub import Hub
from tests.pipeline.models.hub_server import HubServer, running_hub

CONTENT = b"GGUF" + b"weights" * 10_000
NAME = "hf:owner/Some-Model-GGUF/quants/Some-Model.Q4_K_M.gguf"
ID = "owner-some-model.q4_k_m"
COMMIT = "1234567890123456789012345678901234567890"
ASKED = "api/models/owner/Some-Model-GGUF?blobs=true"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with running_hub() as server:
        lfs = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT), "pointerSize": 134}
        told = {
            "sha": COMMIT,
            "cardData": {"license": "apache-2.0"},
            "siblings": [
                {"rfilename": "README.md", "size": 3},
                {"rfilename": "quants/Some-Model.Q4_K_M.gguf", "size": len(CONTENT), "lfs": lfs},
                {"rfilename": "plain.gguf", "size": 4},
            ],
        }
        server.files[ASKED] = json.dumps(told).encode()
        server.files[f"owner/Some-Model-GGUF/resolve/{COMMIT}/quants/Some-Model.Q4_K_M.gguf"] = CONTENT
        yield server


def store(root: Path, hub: HubServer) -> ModelStore:
    return ModelStore(root, hub=Hub({"HF_ENDPOINT": hub.endpoint}))


def test_it_is_known_from_then_on_and_fetched_by_its_commit_and_hash(tmp_path: Path, hub: HubServer) -> None:
    model = store(tmp_path, hub).add(NAME)
    assert (model.id, model.role, model.licence, model.size) == (ID, "llm", "apache-2.0", len(CONTENT))
    later = store(tmp_path, hub)
    later.ensure([ID])
    assert (later.path(ID) / "Some-Model.Q4_K_M.gguf").read_bytes() == CONTENT


def test_adding_it_again_is_no_second_model(tmp_path: Path, hub: HubServer) -> None:
    one = store(tmp_path, hub)
    one.add(NAME)
    one.add(NAME)
    assert [model.id for model in store(tmp_path, hub).manifest.models].count(ID) == 1


def test_other_content_than_the_hub_told_is_refused(tmp_path: Path, hub: HubServer) -> None:
    one = store(tmp_path, hub)
    one.add(NAME)
    for path in hub.files:
        if "resolve" in path:
            hub.files[path] = CONTENT[:-1] + b"!"
    with pytest.raises(FetchError, match="sha256"):
        one.ensure([ID])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("hf:owner/Some-Model-GGUF/other.gguf", "has no other.gguf; it has quants/Some-Model.Q4_K_M.gguf, plain.gguf"),
        ("hf:owner/Some-Model-GGUF/plain.gguf", "tells no sha256"),
        ("hf:owner/Unknown/x.gguf", "answers 404"),
        ("hf:owner/x.gguf", "is not of the form"),
        ("hf:owner/Some-Model-GGUF/../../x.safetensors", "is not of the form"),
    ],
)
def test_what_the_hub_does_not_have_is_told(tmp_path: Path, hub: HubServer, name: str, problem: str) -> None:
    with pytest.raises(FetchError, match=problem):
        store(tmp_path, hub).add(name)
    assert not (tmp_path / FILE).exists()


def test_without_a_hub_that_is_said(tmp_path: Path) -> None:
    offline = ModelStore(tmp_path, hub=Hub({"HF_HUB_OFFLINE": "1"}))
    with pytest.raises(FetchError, match="does not answer"):
        offline.add(NAME)


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_damaged_list_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ManifestError, match="delete it"):
        ModelStore(tmp_path)
