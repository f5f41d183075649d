"""Changes single settings in the TOML file, and nothing else in it."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from server.settings import SettingsError

_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file: `MORGAN_CONFIG`, else `~/.config/morgan/morgan.toml`."""
    named = environ.get("MORGAN_CONFIG")
    return Path(named).expanduser() if named else Path("~/.config/morgan/morgan.toml").expanduser()


def change_settings(path: Path, values: Mapping[str, str | None]) -> None:
    """Set texts at the top of the file, or take them out (None); comments and all else stay as they are.

    Raises:
        SettingsError: the file cannot be read or written, or holds a value that cannot be changed line by line.
    """
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        known = tomllib.loads(before)
        after = before
        for name, value in values.items():
            after = _with(after, name, value)
        wanted = {**known, **values}
        if tomllib.loads(after) != {name: value for name, value in wanted.items() if value is not None}:
            raise SettingsError(f"{path} cannot be changed line by line; set {', '.join(values)} in it yourself")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(after, encoding="utf-8")
        part.replace(path)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be changed: {error.strerror}") from None


def _with(text: str, name: str, value: str | None) -> str:
    first = _TABLE.search(text)
    head, tail = (text, "") if first is None else (text[: first.start()], text[first.start() :])
    line = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=.*(?:\n|$)", re.MULTILINE)
    # A TOML string of one line is one of JSON.
    new = "" if value is None else f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
    if line.search(head):
        return line.sub(lambda _: new, head, count=1) + tail
    if head and not head.endswith("\n"):
        head += "\n"
    return head + new + tail
