"""Writes configuration.md beside this file from the settings: `python docs/write_configuration.py [--check]`."""

import dataclasses
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from server.settings import Settings

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """# Configuration

Written from the settings by `python docs/write_configuration.py`; a test fails when this page is stale.

Every setting is a variable `MORGAN_<NAME>`, or `<name>` in a TOML file: the one that `MORGAN_CONFIG` names, else
`~/.config/morgan/morgan.toml`. The command line wins over variables, those over the file, that over the default. A
setting that nobody knows, or that does not fit, stops the start with a message that names it. What is effective, with
secrets hidden:

```bash
morgan doctor --config
```

Lists are comma-separated in variables; in TOML they are arrays.

"""

TAIL = """
Beside the settings, clients and tools read these variables: `MORGAN_CONFIG` (where the TOML file is), `MORGAN_URL` and
`MORGAN_TOKEN` (the server and the key for `morgan call` and `morgan bench`).
"""


def page() -> str:
    """The page."""
    plain = {name: field for name, field in Settings.model_fields.items() if not _is_group(field)}
    parts = [HEAD, "| variable | default | |\n|---|---|---|\n"]
    parts += [f"| `MORGAN_{name.upper()}` | {_default(field)} | {_about(field)} |\n" for name, field in plain.items()]
    for name, field in Settings.model_fields.items():
        if _is_group(field):
            parts.append(_group(name, field))
    return "".join([*parts, TAIL])


def _is_group(field: FieldInfo) -> bool:
    return dataclasses.is_dataclass(field.annotation)


def _group(name: str, field: FieldInfo) -> str:
    """Settings in a dataclass, which are described in its docstring."""
    kind: Any = field.annotation
    attributes = inspect.cleandoc(kind.__doc__).split("Attributes:\n")[1]
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", attributes, re.MULTILINE)
    about = {entry: " ".join(text.split()) for entry, text in entries}
    rows = [
        f"| `MORGAN_{name.upper()}__{each.name.upper()}` | `{json.dumps(each.default)}` | {about[each.name]} |\n"
        for each in dataclasses.fields(kind)
    ]
    head = (
        f"\n## {name.replace('_', ' ').capitalize()}\n\n{field.description} Times in seconds; in TOML: `[{name}]`.\n\n"
    )
    return head + "| variable | default | |\n|---|---|---|\n" + "".join(rows)


def _about(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|") + _values(field)


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)  # type: ignore[call-arg]
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None or value in ("", (), []):
        return ""
    if isinstance(value, Path):
        return f"`{str(value).replace(str(Path.home()), '~')}`"
    if isinstance(value, bool):
        return f"`{json.dumps(value)}`"
    return f"`{str(value).replace('|', chr(92) + '|')}`"


def _values(field: FieldInfo) -> str:
    """Choices and bounds."""
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return f" ({', '.join(f'`{choice}`' for choice in choices)})"
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    said = [f"{text} {getattr(m, kind)}" for m in field.metadata for kind, text in bounds.items() if hasattr(m, kind)]
    return f" ({', '.join(said)})" if said else ""


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"{PAGE} is stale: run python docs/write_configuration.py")
    else:
        PAGE.write_text(page(), encoding="utf-8")
