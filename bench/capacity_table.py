"""The figures of `morgan bench capacity` as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.conclusion import figure
from bench.processor_time import STAGES


def stages_in(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Stages that cost something somewhere."""
    return [stage for stage in STAGES if any(level["cpu_ms_per_turn"].get(stage) for level in levels)]


def show_levels(report: Mapping[str, Any], console: Console) -> None:
    """Print a report of `bench.capacity`: a column for each number of callers."""
    levels = report["levels"]
    table = Table(title="Callers at once", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("callers")
    for level in levels:
        table.add_column(str(level["callers"]), justify="right")
    rows = {
        "let in": [str(level["let_in"]) for level in levels],
        "refused (503)": [str(level["refused"]) for level in levels],
        "answered": [f"{level['answered']} of {level['asked']}" for level in levels],
        "voice to voice p50, ms": [figure(level["p50_ms"]) for level in levels],
        "voice to voice p95, ms": [figure(level["p95_ms"]) for level in levels],
        "cores used by the server": [f"{level['cores_used']:.2f}" for level in levels],
        "cores used by the callers": [f"{level['cores_of_callers']:.2f}" for level in levels],
    }
    for label, cells in rows.items():
        table.add_row(label, *cells)
    table.add_section()
    for stage in stages_in(levels):
        cells = [figure(level["cpu_ms_per_turn"].get(stage)) for level in levels]
        table.add_row(f"processor time of a turn, ms: {stage}", *cells)
    totals = [figure(sum(level["cpu_ms_per_turn"].values()) or None) for level in levels]
    table.add_row("processor time of a turn, ms: all", *totals, style="bold")
    console.print(table)
    begin = report["refusals_begin_at"]
    console.print("Nobody was refused." if begin is None else f"Refusals begin at {begin} callers.", highlight=False)
    for line in report["broken"]:
        console.print(f"out of bounds: {line}", style="red", markup=False, highlight=False)
