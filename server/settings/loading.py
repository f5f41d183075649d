"""Reading the settings from the command line, `MORGAN_*` variables and a TOML file.

Order of precedence: command line, environment, TOML file, default. A setting that nobody knows, or that does not fit,
stops the start with a message that names it.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic_settings
from pydantic import ValidationError

from server.settings.effective import NESTED, PREFIX, Settings

FOREIGN = frozenset({"MORGAN_CONFIG", "MORGAN_URL", "MORGAN_TOKEN", "MORGAN_SHARED_AUDIO"})
"""Variables with our prefix that are no settings: where the settings are, and what clients and tests read."""


class SettingsError(ValueError):
    """The settings do not fit; the message says which, and what would."""


def load_settings(overrides: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        overrides: from the command line; None values are left out.
        environ: the environment; that of the process when not given.

    Raises:
        SettingsError: something does not fit; the message lists all of it.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    values = _read_toml(environ)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        # The command line wins over the environment, so it is handed in as if it were part of it.
        settings = Settings(**values)
        return settings if not given else Settings.model_validate({**_explicit(settings), **given})
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except pydantic_settings.SettingsError as error:
        raise SettingsError(f"{error}: it must be JSON") from None


def _explicit(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in environ:
        if not name.startswith(PREFIX) or name in FOREIGN or name.split(NESTED)[0] in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise SettingsError(f"{name} is not a setting{hint}; `morgan doctor --config` lists them all")


def _read_toml(environ: Mapping[str, str]) -> dict[str, Any]:
    named = environ.get("MORGAN_CONFIG")
    path = Path(named).expanduser() if named else Path("~/.config/morgan/morgan.toml").expanduser()
    if not named and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"MORGAN_CONFIG: {path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return "\n".join(lines)
