"""`morgan env`: where the running server keeps what it remembers, as shell exports."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from server.memory.door import ENVIRONMENT
from server.settings import SettingsError, load_settings

NAMES = ("MORGAN_POSTGRES_DSN", "MORGAN_REDIS_URL", "MORGAN_QDRANT_URL", "MORGAN_URL")


def env(
    data_dir: Annotated[Path | None, typer.Option(help="Data directory of the server.")] = None,
) -> None:
    """Print the running server's addresses: eval "$(morgan env)", then psql "$MORGAN_POSTGRES_DSN"."""
    try:
        folder = load_settings({"data_dir": data_dir}).data_dir
    except SettingsError as error:
        typer.echo(f"The settings do not fit.\n{error}", err=True)
        raise typer.Exit(2) from None
    known = running(folder)
    if known is None:
        typer.echo(f"No server runs on {folder}. Start one with `morgan serve`, or name its --data-dir.", err=True)
        raise typer.Exit(1)
    if "MORGAN_URL" not in known:
        typer.echo(f"The server on {folder} is starting; try again in a moment.", err=True)
        raise typer.Exit(1)
    for name in NAMES:
        if name in known:
            typer.echo(f"export {name}={shlex.quote(known[name])}")


def running(data_dir: Path) -> dict[str, str] | None:
    """What the server on a data directory announced; None when none runs."""
    run = data_dir / "run"
    try:
        known = json.loads((run / ENVIRONMENT).read_text())
        # A server that was killed left its file, but not its lock.
        with FileLock(run / "lock", timeout=0, mode=0o600):
            return None
    except Timeout:
        return known if isinstance(known, dict) else None
    except (OSError, ValueError):
        return None
