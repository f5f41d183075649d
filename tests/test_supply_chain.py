"""What Morgan is installed from: every archive has its hash, and one that is another is seen before it runs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def hashes(repository: Path) -> dict[str, list[str]]:
    """The sha256 of all archives by pin."""
    found: dict[str, list[str]] = {}
    for entry in (repository / "hashes.txt").read_text().replace("\\\n", " ").splitlines():
        if "==" in entry:
            name, _, version = entry.split(" ")[0].partition("==")
            found[f"{canonical(name)}=={version}"] = re.findall(r"--hash=sha256:([0-9a-f]{64})(?:\s|$)", entry)
    return found


def archive(pin: str, sha256: str, url: str = "https://packages.example/a.whl") -> dict[str, Any]:
    """A package in pip's report."""
    name, _, version = pin.partition("==")
    return {
        "metadata": {"name": name, "version": version},
        "download_info": {"url": url, "archive_info": {"hashes": {"sha256": sha256}}},
    }


def checked(repository: Path, folder: Path, installed: list[dict[str, Any]], **environ: str) -> tuple[int, str]:
    """Exit status and output of .ci/check-hashes for what pip says it installed."""
    report = folder / "report.json"
    report.write_text(json.dumps({"install": installed}))
    command = [sys.executable, "-I", str(repository / ".ci/check-hashes"), str(repository / "hashes.txt"), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    return done.returncode, done.stderr


def test_every_version_has_hashes_and_nothing_else_is_in_the_file(
    repository: Path, hashes: dict[str, list[str]]
) -> None:
    constraints = (repository / "constraints.txt").read_text().splitlines()
    pins = {line.split(";")[0].strip() for line in constraints if line and not line.startswith("#")}
    assert {f"{canonical(pin.partition('==')[0])}=={pin.partition('==')[2]}" for pin in pins} == set(hashes)
    assert [pin for pin, found in hashes.items() if not found] == []
    # No index, no address: whoever installs says where from.
    text = (repository / "hashes.txt").read_text()
    assert (
        re.sub(r"^(#.*|[\w.-]+==\S+.*|    --hash=sha256:[0-9a-f]{64}( \\)?)$", "", text, flags=re.MULTILINE).strip()
        == ""
    )


def test_what_was_listed_is_let_in(repository: Path, hashes: dict[str, list[str]], tmp_path: Path) -> None:
    installed = [archive(pin, found[-1]) for pin, found in hashes.items()]
    itself = {
        "metadata": {"name": "morgan-voice", "version": "0.1.0"},
        "download_info": {"url": "file:///m", "dir_info": {}},
    }
    assert checked(repository, tmp_path, [*installed, itself], MORGAN_REQUIRE_HASHES="1") == (0, "")


def test_an_archive_that_is_another_ends_the_installation(
    repository: Path, hashes: dict[str, list[str]], tmp_path: Path
) -> None:
    pin = next(pin for pin in hashes if pin.startswith("aiohttp=="))
    code, told = checked(repository, tmp_path, [archive(pin, "0" * 64)])
    assert code == 1
    assert f"{pin} has the sha256 000" in told
    code, told = checked(repository, tmp_path, [archive("aiohttpp==1.0", "0" * 64)])
    assert code == 1
    assert "aiohttpp==1.0 is not in it" in told
    assert checked(repository, tmp_path, [archive(pin, "0" * 64)], MORGAN_REQUIRE_HASHES="0")[0] == 0


def test_an_archive_that_was_built_here_is_named_and_let_through_where_all_is_not_asked_for(
    repository: Path, hashes: dict[str, list[str]], tmp_path: Path
) -> None:
    pin = next(pin for pin in hashes if pin.startswith("aiohttp=="))
    local = archive(pin, "0" * 64, "file:///wheels/aiohttp.whl")
    code, told = checked(repository, tmp_path, [local])
    assert code == 0
    assert "let through" in told
    assert checked(repository, tmp_path, [local], MORGAN_REQUIRE_HASHES="1")[0] == 1


@pytest.mark.parametrize("script", [".ci/install", "docker/install.sh"])
def test_every_installation_is_checked(script: str, repository: Path) -> None:
    lines = (repository / script).read_text()
    assert "--report" in lines
    assert "check-hashes hashes.txt" in lines


def test_the_workflow_asks_for_hashes_and_for_known_weaknesses(repository: Path) -> None:
    workflow = yaml.safe_load((repository / ".github/workflows/ci.yml").read_text())
    assert workflow["env"]["MORGAN_REQUIRE_HASHES"] == "1"
    audit = workflow["jobs"]["audit"]
    assert "if" not in audit
    assert audit["steps"][-1]["run"] == "make audit"
    recipe = (repository / "Makefile").read_text().partition("\naudit:")[2].partition("\n\n")[0]
    assert "pip-audit --requirement hashes.txt --require-hashes" in recipe
