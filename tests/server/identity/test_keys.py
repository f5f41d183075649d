"""API keys: made, listed, taken back by `morgan keys`, and what a running server takes of that."""

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.cli.main import app
from server.identity.keys import KeyRing
from server.identity.keys_file import KEYS_FILE, new_key, read_keys, write_keys
from server.identity.scopes import ALL
from server.settings import SettingsError, load_settings

RUNNER = CliRunner()


def morgan(folder: Path, *arguments: str) -> Result:
    return RUNNER.invoke(app, [*arguments, "--data-dir", str(folder)])


def test_a_key_is_made_listed_and_revoked_under_a_running_server(tmp_path: Path) -> None:
    ring = KeyRing({}, tmp_path / KEYS_FILE)
    assert not ring.present
    limits = ("--calls-per-minute", "3", "--calls-per-day", "90", "--requests-per-day", "800", "--days", "7")
    made = morgan(tmp_path, "keys", "add", "phone", "--scope", "calls", "--user", "alice", *limits)
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    found = ring.find(key)
    assert ring.present
    assert found is not None
    assert (found.scopes, found.user_id, found.per_minute) == ({"calls"}, "alice", {"call": 3})
    assert found.per_day == {"call": 90, "work": 800}
    (listed,) = json.loads(morgan(tmp_path, "keys", "list", "--json").stdout)
    assert (listed["name"], listed["user_id"], listed["expired"]) == ("phone", "alice", False)
    assert listed["per_day"] == {"call": 90, "work": 800}
    assert listed["id"] in morgan(tmp_path, "keys", "list").stdout
    kept = (tmp_path / KEYS_FILE).read_text()
    assert key not in kept
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o077 == 0
    assert morgan(tmp_path, "keys", "revoke", listed["id"]).exit_code == 0
    assert ring.find(key) is None
    assert ring.present, "the last key's end opens no door"
    assert morgan(tmp_path, "keys", "revoke", listed["id"]).exit_code == 1


def test_a_file_from_before_there_were_quotas_is_read(tmp_path: Path) -> None:
    secret, key = new_key("old", ALL)
    path = tmp_path / KEYS_FILE
    write_keys(path, [key])
    kept = json.loads(path.read_text())
    del kept["keys"][0]["per_day"]
    path.write_text(json.dumps(kept))
    found = KeyRing({}, path).find(secret)
    assert found is not None
    assert found.per_day == {}


def test_keys_of_the_settings_have_the_scopes_they_were_given(tmp_path: Path) -> None:
    ring = KeyRing({"a key of the settings": ALL}, tmp_path / KEYS_FILE)
    found = ring.find("a key of the settings")
    assert found is not None
    assert found.may("admin")
    assert found.user_id is None
    assert ring.find("") is None
    assert ring.find("a key of the setting") is None
    assert ring.find("\udce4") is None


def test_an_expired_key_lets_nobody_in(tmp_path: Path) -> None:
    secret, key = new_key("old", ALL, ttl_s=-1)
    write_keys(tmp_path / KEYS_FILE, [key])
    assert KeyRing({}, tmp_path / KEYS_FILE).find(secret) is None


@pytest.mark.parametrize("damage", ["", "{}", '{"keys": [{"id": 1}]}', '{"keys": 7}', "\0"])
def test_a_damaged_file_lets_nobody_in_and_opens_nothing(tmp_path: Path, damage: str) -> None:
    path = tmp_path / KEYS_FILE
    secret, key = new_key("one", ALL)
    write_keys(path, [key])
    ring = KeyRing({}, path)
    assert ring.find(secret)
    path.write_text(damage)
    os.utime(path, ns=(time.time_ns() + 1_000_000,) * 2)
    assert ring.find(secret) is None
    assert ring.present
    assert morgan(tmp_path, "keys", "list").exit_code == 1


def test_unknown_scopes_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    refused = morgan(tmp_path, "keys", "add", "x", "--scope", "everything")
    assert refused.exit_code == 2
    assert "speech" in refused.output
    assert read_keys(tmp_path / KEYS_FILE) == ()


def test_a_file_of_keys_is_enough_to_listen_to_strangers(tmp_path: Path) -> None:
    given = {"host": "0.0.0.0", "data_dir": tmp_path}
    environ = {"MORGAN_CONFIG": "", "HOME": "/nowhere"}
    with pytest.raises(SettingsError, match="morgan keys add"):
        load_settings(environ=environ, overrides=given)
    morgan(tmp_path, "keys", "add", "first")
    assert load_settings(environ=environ, overrides=given).asks_for_keys


def test_a_join_link_is_printed_without_a_server(tmp_path: Path) -> None:
    printed = morgan(tmp_path, "join", "--user", "alice", "--base-url", "https://morgan.example/")
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.strip().startswith("https://morgan.example/?token=mt_")
