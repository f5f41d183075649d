"""The weights that tests on a GPU need: where they are, and a skip where one is not."""

import os
from pathlib import Path

import pytest

MODELS = Path(os.environ.get("MORGAN_MODELS_DIR", Path.home() / ".cache" / "morgan" / "models"))


def needs(*names: str) -> None:
    """Skip where a model is not there."""
    for name in names:
        if not (MODELS / name).is_dir():
            pytest.skip(f"{name} is not in {MODELS}.")
