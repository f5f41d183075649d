"""`.ci/npm-clients` and `.ci/python-clients` say in one line what is lacking, and leave nothing half made behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import lacking
from tests.e2e import npm_clients


def test_without_the_registry_of_npm_it_is_said_in_one_clear_line_what_is_lacking(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        lacking("npm is not installed (Debian: npm).")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "npm_config_registry": "http://127.0.0.1:9"}
    environment["npm_config_fetch_retries"] = "0"
    command = [npm_clients.ROOT / ".ci" / "npm-clients"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)
    assert done.returncode == 1
    assert "npm could not install the clients of tests/clients/package.json" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "morgan-tests").iterdir()) == []


def test_without_the_registry_of_pip_it_is_said_in_one_clear_line_what_is_lacking(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    environment.pop("PIP_FIND_LINKS", None)
    command = [str(npm_clients.ROOT / ".ci" / "python-clients"), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)
    assert done.returncode == 1
    assert "pip could not install the clients of tests/clients/python.txt" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "morgan-tests").iterdir()) == []
