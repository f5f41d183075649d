"""The shape of the packages that no linter holds: modules that fit in one head, and few at the root of `server`.

Which package may import which, and that there are no circles, is import-linter's (`pyproject.toml`).
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MOST_LINES = 400

PACKAGES = ("server", "media", "pipeline", "persistence", "bench")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_fits_in_one_head(package: str) -> None:
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / package).rglob("*.py")
    }
    assert lines
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_script_of_the_page_is_longer_than_that() -> None:
    scripts = (ROOT / "static").rglob("*.js")
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in scripts}
    assert lines
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_at_most_eight_modules_stand_at_the_root_of_the_server() -> None:
    modules = [path.name for path in (ROOT / "server").glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 8, modules
