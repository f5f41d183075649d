"""What each role loads, and which settings it takes."""

from typing import Protocol

import pytest

from server.engines.factory import engines_here, lanes_of, needed_models
from server.memory.door import persistence_config
from server.roles import port_of
from server.settings import Settings, SettingsError, load_settings

ELSEWHERE = {
    "MORGAN_STT_URL": "http://stt-1:8003, http://stt-2:8003/",
    "MORGAN_LLM_URL": "http://llm:8001",
    "MORGAN_TTS_URL": "http://tts:8002",
}


class Reader(Protocol):
    def __call__(self, role: str, **environ: str) -> Settings: ...


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Reads the settings of a role, with further variables."""

    def read(role: str, **environ: str) -> Settings:
        for name, value in {"MORGAN_LLM_ENGINE": "llama.cpp", **environ}.items():
            monkeypatch.setenv(name, value)
        return load_settings({"role": role})

    return read


def test_everything_needs_every_model(settings: Reader) -> None:
    assert sorted(needed_models(settings("all"))) == sorted(
        ["whisper-base", "smart-turn-v3.2", "silero-vad-v6", "smollm2-135m-instruct", "piper-en_US-joe-medium",
         "all-minilm-l6-v2"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("role", "models"),
    [
        ("core", {"smart-turn-v3.2", "silero-vad-v6"}),
        ("llm", {"smollm2-135m-instruct", "all-minilm-l6-v2"}),
        ("tts", {"piper-en_US-joe-medium"}),
        ("stt", {"whisper-base", "silero-vad-v6"}),
    ],
)
def test_a_part_needs_its_own_models_only_whatever_is_said_of_the_others(
    role: str, models: set[str], settings: Reader
) -> None:
    assert set(needed_models(settings(role, **ELSEWHERE))) == models


def test_one_engine_can_be_elsewhere_and_the_rest_here(settings: Reader) -> None:
    here = engines_here(settings("all", MORGAN_STT_URL="http://stt:8003"))
    assert sorted(here) == ["embedder", "llm", "tts", "turn", "vad"]


def test_a_core_without_a_way_to_its_engines_is_told_which_are_missing(settings: Reader) -> None:
    with pytest.raises(SettingsError, match="set MORGAN_STT_URL, MORGAN_TTS_URL, or serve the role all"):
        settings("core", MORGAN_LLM_URL="http://llm:8001")


def test_an_address_that_is_none_is_refused(settings: Reader) -> None:
    with pytest.raises(SettingsError, match="stt_url: stt:8003 is not the root of a service"):
        settings("core", **{**ELSEWHERE, "MORGAN_STT_URL": "stt:8003"})


def test_urls_are_a_list_without_slashes_at_their_ends(settings: Reader) -> None:
    assert settings("core", **ELSEWHERE).service_urls("stt") == ("http://stt-1:8003", "http://stt-2:8003")


def test_the_core_shows_its_services_their_own_key_or_else_the_first_of_its_keys(settings: Reader) -> None:
    keys = {"MORGAN_API_KEYS": f"{'a' * 24},{'b' * 24}"}
    assert settings("core", **ELSEWHERE, **keys).key_for_services == "a" * 24
    assert settings("core", **ELSEWHERE, **keys, MORGAN_SERVICE_KEY="c" * 24).key_for_services == "c" * 24


def test_a_block_of_ports_is_the_same_whichever_process_serves_a_part_of_it() -> None:
    assert [port_of(part, 9000) for part in ("core", "llm", "tts", "stt")] == [9000, 9001, 9002, 9003]


def test_processes_that_share_a_data_directory_have_journals_of_their_own(settings: Reader) -> None:
    folders = {persistence_config(settings(role, **ELSEWHERE)).journal_dir for role in ("core", "llm", "tts", "stt")}
    assert len(folders) == 4


@pytest.mark.parametrize(
    ("cores", "wanted", "lanes"), [("1", "auto", 1), ("4", "auto", 4), ("64", "auto", 16), ("4", "2", 2)]
)
def test_engines_have_a_lane_for_every_core_unless_told_otherwise(
    settings: Reader, cores: str, wanted: str, lanes: int
) -> None:
    read = settings("all", MORGAN_CORES=cores, MORGAN_STT_LANES=wanted, MORGAN_TTS_LANES=wanted)
    assert lanes_of(read.stt_lanes, read) == lanes_of(read.tts_lanes, read) == lanes
