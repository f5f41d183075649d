"""Pictures of what a test has seen, for people to look at: in `MORGAN_TEST_PICTURES`, else with the test."""

import os
from pathlib import Path


def folder(name: str, tmp_path: Path) -> Path:
    """Where a test puts its pictures.

    Args:
        name: of the folder, one for each test and each set of its parameters.
        tmp_path: of the test.
    """
    kept = os.environ.get("MORGAN_TEST_PICTURES")
    made = Path(kept) / name if kept else tmp_path
    made.mkdir(parents=True, exist_ok=True)
    return made
