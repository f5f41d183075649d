"""Settings of privacy: what contradicts them stops the start, and memory and recordings are told of them."""

import base64
import logging
from pathlib import Path

import pytest
import structlog

from persistence.config import Retention
from server.memory.door import MemoryDoor, persistence_config
from server.observability.logs import configure_logs
from server.settings import Settings, SettingsError, load_settings

KEY = base64.b64encode(b"k" * 32).decode()


def test_periods_are_days_and_reach_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind, days in (
        ("MESSAGES", "90"),
        ("MEMORIES", "30"),
        ("DOCUMENTS", "365"),
        ("JOURNALS", "7"),
        ("REFUSED", "1"),
        ("RECORDINGS", "0.5"),
    ):
        monkeypatch.setenv(f"MORGAN_KEEP_{kind}_DAYS", days)
    settings = load_settings({"data_dir": tmp_path})
    config = persistence_config(settings)
    assert config.retention == Retention(90 * 86_400, 30 * 86_400, 365 * 86_400, 7 * 86_400, 86_400)
    assert MemoryDoor(settings).recordings._keep_s == 43_200


def test_without_periods_all_is_kept_but_what_was_refused(tmp_path: Path) -> None:
    assert persistence_config(Settings(data_dir=tmp_path)).retention == Retention(refused_s=30 * 86_400)


@pytest.mark.parametrize("name", ["MORGAN_KEEP_MESSAGES_DAYS", "MORGAN_KEEP_RECORDINGS_DAYS"])
def test_a_period_of_nothing_is_no_period(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    with pytest.raises(SettingsError, match="greater than 0"):
        load_settings({})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MORGAN_STORE_AUDIO": "off", "MORGAN_RECORD_CALLS": "true"}, "record_calls keeps the sound"),
        ({"MORGAN_STORE_TEXT": "off", "MORGAN_RECORD_INPUTS": "asked"}, "record_inputs keeps words"),
        ({"MORGAN_RECORDING_KEYS": "2026"}, "a key is an id"),
        ({"MORGAN_RECORDING_KEYS": f"a:{KEY},a:{KEY}"}, "two keys have the id a"),
    ],
)
def test_what_contradicts_itself_stops_the_start(
    environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        load_settings({})


def test_the_first_key_seals_and_none_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MORGAN_RECORDING_KEYS", f"2026:{KEY}, 2025:{KEY}")
    settings = load_settings({"data_dir": tmp_path})
    keys = MemoryDoor(settings).recordings.keys
    assert keys is not None
    assert (keys.current, list(keys.keys)) == ("2026", ["2026", "2025"])
    assert KEY not in str(settings.shown())
    assert KEY not in repr(settings)


def test_streams_are_kept_in_redis_only_where_words_and_sound_may_be(tmp_path: Path) -> None:
    class Opened:
        redis = object()

    for switches, kept in (({}, True), ({"store_text": False}, False), ({"store_audio": False}, False)):
        door = MemoryDoor(Settings(data_dir=tmp_path).model_copy(update=switches))
        door.memory = Opened()  # type: ignore[assignment]
        assert (door.stream_redis() is Opened.redis) is kept


@pytest.mark.parametrize("client", ["httpx", "httpx2"])
def test_addresses_with_what_is_in_their_queries_are_not_logged(client: str, tmp_path: Path, logs: None) -> None:
    configure_logs(Settings(data_dir=tmp_path))
    # Both say each request at this level, with its whole address.
    assert not logging.getLogger(client).isEnabledFor(logging.INFO)
    assert logging.getLogger("server").isEnabledFor(logging.INFO)


def fail(said: str) -> None:
    raise RuntimeError("what failed")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_tells_what_failed_and_nothing_of_what_was_in_hand(
    form: str, tmp_path: Path, logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(Settings(data_dir=tmp_path, log_format=form))  # type: ignore[arg-type]
    said = "marma" + "lade"
    try:
        fail(said)
    except RuntimeError:
        structlog.get_logger("server").exception("it failed")
    told = capsys.readouterr().err
    assert "what failed" in told
    assert "marmalade" not in told
