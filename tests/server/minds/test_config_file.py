"""Settings are changed in the TOML file, and nothing else is."""

import tomllib
from pathlib import Path

import pytest

from server.minds.config_file import change_settings
from server.settings import SettingsError

FILE = """# My Morgan.
greeting = "Hello."  # said first
llm_model = 'old'

[turn_taking]
idle_prompt_s = 20
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "morgan" / "morgan.toml"


def written(path: Path, text: str = FILE) -> Path:
    path.parent.mkdir()
    path.write_text(text)
    return path


def test_a_file_is_made_where_there_is_none(path: Path) -> None:
    change_settings(path, {"llm_model": "auto", "llm_base_url": None})
    assert path.read_text() == 'llm_model = "auto"\n'


def test_a_setting_is_changed_where_it_stands_and_comments_stay(path: Path) -> None:
    change_settings(written(path), {"llm_model": "new"})
    assert path.read_text() == FILE.replace("'old'", '"new"')


def test_a_new_setting_stands_before_the_tables(path: Path) -> None:
    change_settings(written(path), {"llm_base_url": "http://localhost:11434/v1"})
    assert tomllib.loads(path.read_text()) == {
        **tomllib.loads(FILE),
        "llm_base_url": "http://localhost:11434/v1",
    }
    assert "# said first" in path.read_text()


def test_a_setting_is_taken_out(path: Path) -> None:
    change_settings(written(path), {"llm_model": None})
    assert path.read_text() == FILE.replace("llm_model = 'old'\n", "")


def test_a_text_may_hold_anything(path: Path) -> None:
    change_settings(path, {"llm_model": 'C:\\models\\"mine".gguf'})
    assert tomllib.loads(path.read_text()) == {"llm_model": 'C:\\models\\"mine".gguf'}


@pytest.mark.parametrize("text", ['llm_model = """\nold\n"""\n', "x = [", "x = 1\nx = 2\n"])
def test_what_cannot_be_changed_line_by_line_is_left_alone(path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        change_settings(written(path, text), {"llm_model": "new"})
    assert path.read_text() == text
