"""The page of settings is the settings'."""

import os
import subprocess
import sys
from pathlib import Path

from server.settings import Settings


def check(script: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "--check"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_the_page_is_not_stale(repository: Path) -> None:
    checked = check(repository / "docs" / "write_configuration.py")
    assert checked.returncode == 0, checked.stderr


def test_a_stale_page_is_seen(repository: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    text = (repository / "docs" / "configuration.md").read_text()
    (docs / "configuration.md").write_text(text.replace("MORGAN_PORT", "MORGAN_HARBOUR"))
    script = docs / "write_configuration.py"
    script.write_text((repository / "docs" / "write_configuration.py").read_text())
    assert "stale" in check(script).stderr


def test_every_setting_is_on_the_page(repository: Path) -> None:
    text = (repository / "docs" / "configuration.md").read_text()
    assert [name for name in Settings.model_fields if f"MORGAN_{name.upper()}" not in text] == []
