"""Which Morgan this is."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def version() -> str:
    """Version of the installed distribution; "0" in a source tree that is not installed."""
    try:
        return installed_version("morgan-voice")
    except PackageNotFoundError:
        return "0"
