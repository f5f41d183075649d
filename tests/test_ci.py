"""The files by which others check Morgan: the CI workflow and the pre-commit hooks."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml


def test_the_workflow_fits_its_schema(repository: Path) -> None:
    files = [str(path) for path in sorted((repository / ".github" / "workflows").glob("*.yml"))]
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert checked.returncode == 0, checked.stdout


def test_unit_runs_on_every_python_that_the_project_names(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    workflow = yaml.safe_load((repository / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["unit"]["strategy"]["matrix"]["python"] == named


def test_the_hooks_run_the_linters_of_make_lint(repository: Path) -> None:
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())
    hooks = {hook["entry"].rpartition("/")[2] for repo in config["repos"] for hook in repo["hooks"]}
    recipe = (repository / "Makefile").read_text().partition("\nlint: dev\n")[2].partition("\n\n")[0]
    linters = {line.partition("/")[2].removesuffix(" --check") for line in recipe.splitlines()}
    assert hooks == linters
