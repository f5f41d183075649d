"""`.ci/npm-clients` says in one line what is lacking, and leaves nothing half installed behind."""

import os
import shutil
import subprocess
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
