"""`morgan doctor`: what works on this machine, and what to do about the rest."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.cli.check import Check
from server.cli.checks import all_checks
from server.minds.choice import resolved
from server.settings import Settings, SettingsError, load_settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    config: Annotated[bool, typer.Option("--config", help="Show the effective settings in place of checks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine, and say what to do about what is missing. Exits with 1 when Morgan could not run."""
    try:
        settings = load_settings()
    except SettingsError as error:
        typer.echo(f"The settings do not fit.\n{error}", err=True)
        raise typer.Exit(2) from error
    if config:
        _show_settings(settings, as_json=as_json)
        return
    checks = _made(resolved(settings), as_json=as_json)
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(1)


def _made(settings: Settings, *, as_json: bool) -> list[Check]:
    """Make the checks and show them."""
    if as_json:
        checks = list(all_checks(settings))
        ok = all(check.verdict != "fail" for check in checks)
        typer.echo(json.dumps({"ok": ok, "checks": [dataclasses.asdict(check) for check in checks]}, indent=2))
        return checks
    console = Console()
    with console.status("Looking around"):
        checks = list(all_checks(settings))
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        found = Text(check.found)
        if check.advice:
            found.append(f"\n{check.advice}", style="bold")
        table.add_row(Text(check.verdict, style=_COLOURS[check.verdict]), check.name, found)
    console.print(table)
    failed = [check.name for check in checks if check.verdict == "fail"]
    if failed:
        console.print(f"Morgan cannot run like this: {', '.join(failed)}.", style="red", markup=False)
    else:
        console.print("Morgan can run here: morgan serve")
    return checks


def _show_settings(settings: Settings, *, as_json: bool) -> None:
    """Print the effective settings with the variable that sets each, secrets hidden."""
    shown = settings.shown()
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    # What is named by its user is one variable, in JSON: such names are no parts of variables' names.
    named = {name for name in shown if isinstance(getattr(settings, name), Mapping)}
    lines = dict(_variables(shown, named))
    width = max(len(name) for name in lines)
    for name, value in lines.items():
        typer.echo(f"{name:{width}}  {value}")


def _variables(values: Mapping[str, Any], whole: Collection[str], prefix: str = "MORGAN_") -> list[tuple[str, str]]:
    """Variables and their values; those named in `whole` are not taken apart."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(value, Mapping) and name not in whole:
            pairs += _variables(value, (), f"{variable}__")
        else:
            pairs.append((variable, value if isinstance(value, str) else json.dumps(value)))
    return pairs
