"""Each command in the README and docs/ does as described: blocks are run, and print what their `#>` comments say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.docs.fences import LANGUAGES, Block, blocks
from tests.serving import RunningServer

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page) if block.language in LANGUAGES]
RUN = [block for block in BLOCKS if not block.not_run]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands run: with what of the repository they name, and room for what they write."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "tests").symlink_to(ROOT / "tests")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "morgan").symlink_to(Path(sys.executable).with_name("morgan"))
    return folder


@pytest.fixture(scope="module")
def environment(server: RunningServer) -> dict[str, str]:
    """As after activating the virtual environment, on the machine where the server runs."""
    for tool in ("curl", "jq", "psql", "redis-cli", "node"):
        if shutil.which(tool) is None:
            lacking(f"{tool} is not here; .ci/test-tools installs it")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MORGAN_URL": server.url, "MORGAN_DATA_DIR": str(server.data_dir)}


def command(block: Block, url: str) -> list[str]:
    """What runs a block against a server."""
    port = int(url.rpartition(":")[2])
    code = re.sub(r"localhost:800([0-3])", lambda found: f"127.0.0.1:{port + int(found[1])}", block.code)
    match block.language:
        case "bash":
            return ["bash", "-euo", "pipefail", "-c", code]
        case "python":
            return [sys.executable, "-c", code]
        case _:
            return ["node", "--input-type=module", "-e", code]


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_does_as_described(
    block: Block, server: RunningServer, environment: dict[str, str], folder: Path
) -> None:
    done = subprocess.run(
        command(block, server.url), capture_output=True, text=True, timeout=100, cwd=folder, env=environment
    )
    assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
    rest = done.stdout
    for words in block.expected:
        assert words in rest, f"{words!r} is not in what is left of the output:\n{done.stdout}"
        rest = rest.partition(words)[2]


def test_every_block_says_what_it_is() -> None:
    """So that none escapes the test by a missing language."""
    known = (*LANGUAGES, "text", "json", "toml", "nginx", "mermaid", "yaml")
    found = [block for page in PAGES for block in blocks(page)]
    assert [f"{block.page}:{block.line}" for block in found if block.language not in known] == []
    assert len(RUN) > len(BLOCKS) / 2


def test_a_block_that_fails_is_seen(server: RunningServer) -> None:
    block = Block("page.md", 1, "bash", "", "curl -fsS http://localhost:8000/no-such-route | jq .\n")
    assert subprocess.run(command(block, server.url), capture_output=True, timeout=30).returncode != 0
