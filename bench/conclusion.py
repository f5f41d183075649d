"""How benchmarks that hold their figures to bounds end: the file, the machine and the table, the exit status."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.processor import this_machine


def add_outcomes(parser: argparse.ArgumentParser) -> None:
    """The options that `conclude` reads."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="end with 1 where a bound is broken")


def conclude(
    options: argparse.Namespace,
    figures: Mapping[str, Any],
    show: Callable[[Mapping[str, Any], Console], None],
    **kept: Any,
) -> None:
    """Write and print what was measured.

    Args:
        options: of the command line, see `add_outcomes`.
        figures: with `broken`, the bounds that do not hold.
        show: prints them.
        kept: further figures for the file alone.

    Raises:
        SystemExit: 1, a bound is broken and the command line asks for that.
    """
    machine = this_machine()
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.report(), **figures, **kept}, indent=1))
    console = Console()
    console.print(machine.describe(), markup=False, highlight=False)
    show(figures, console)
    if options.check and figures["broken"]:
        raise SystemExit(1)


def figure(value: float | None) -> str:
    """A figure in a cell of a table; "-" where there is none."""
    return "-" if value is None else f"{value:,.0f}"
