"""The figures of `morgan bench hearing` as tables, a column for each path of CTranslate2."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.heard_clips import SHORT_S

FEWEST_WORDS: Final = 20
"""Tags with fewer words of reference say nothing."""

Json = Mapping[str, Any]


def show_hearing(reports: Sequence[Json], console: Console) -> None:
    """Print what the engine heard; each report has `path`, `figures`, `broken`."""
    table = _table("Heard by the engine as it lies, in brackets by beam 5 on 30 s windows", reports)
    for label, cell in _ROWS:
        table.add_row(label, *(cell(report["figures"]) for report in reports))
    console.print(table)
    tags = _table("Word error by tag, English; in brackets by beam 5 on 30 s windows", reports, words=True)
    first = reports[0]["figures"]["by_tag"]
    for tag, row in first.items():
        if row["words"] >= FEWEST_WORDS:
            cells = (_error(report["figures"]["by_tag"].get(tag, {})) for report in reports)
            tags.add_row(escape(tag), str(row["words"]), *cells)
    console.print(tags)
    _show_broken(reports, console)


def show_calls(reports: Sequence[Json], console: Console) -> None:
    """Print what was understood in calls; each report has `path`, `figures`, `broken`."""
    table = _table("Heard in WebRTC calls, Opus between", reports)
    for label, cell in _CALL_ROWS:
        table.add_row(label, *(cell(report["figures"]) for report in reports))
    console.print(table)
    _show_broken(reports, console)


def _table(title: str, reports: Sequence[Json], words: bool = False) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    if words:
        table.add_column("words", justify="right")
    for report in reports:
        table.add_column(escape(report["path"]), justify="right", overflow="fold")
    return table


def _show_broken(reports: Sequence[Json], console: Console) -> None:
    for report in reports:
        for line in report["broken"]:
            console.print(f"out of bounds ({report['path']}): {line}", style="red", markup=False, highlight=False)


def _names(names: Sequence[str] | Mapping[str, str]) -> str:
    """How many, and which."""
    if isinstance(names, Mapping):
        names = [f"{name} ({what})" for name, what in names.items()]
    return escape(f"{len(names)}: {', '.join(names)}") if names else "0"


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _error(row: Json) -> str:
    if not row or not row["words"]:
        return "-"
    return f"{_percent(row['rate'])} ({_percent(row['reference_rate'])})"


def _language(group: str) -> Callable[[Json], str]:
    def cell(figures: Json) -> str:
        found = figures["language"][group]
        return f"{_names(found['wrong'])} of {found['clips']}"

    return cell


def _time(figures: Json) -> str:
    time = figures["time"]
    return f"{time['p50_ms']} ms ({time['reference_p50_ms']} ms)" if time else "-"


def _ratio(figures: Json) -> str:
    time = figures["time"]
    return f"{time['ratio']:.0%} (of processor time {time['cpu_ratio']:.0%})" if time else "-"


def _phrases(figures: Json) -> str:
    phrases = figures["phrases"]
    return f"{phrases['found']} ({phrases['reference_found']}) of {phrases['asked']}"


def _errors(kind: str) -> Callable[[Json], str]:
    return lambda figures: _error(figures["errors"][kind])


_ROWS: Final[tuple[tuple[str, Callable[[Json], str]], ...]] = (
    ("clips with words", lambda figures: str(figures["with_words"])),
    ("empty", lambda figures: f"{_names(figures['empty'])} ({len(figures['reference_empty'])})"),
    ("doubled", lambda figures: f"{_names(figures['doubled'])} ({len(figures['reference_doubled'])})"),
    (f"wrong language, {SHORT_S} s and more", _language("long")),
    ("wrong language, shorter, right prior", _language("short_with_prior")),
    ("wrong language, shorter, no prior", _language("short")),
    ("wrong language, beam 5 on 30 s", _language("reference")),
    ("word error, English", _errors("english")),
    ("word error, other languages", _errors("others")),
    ("character error, zh ja ko", _errors("characters")),
    ("phrases understood", _phrases),
    ("time of a clip, median", _time),
    ("time of all, against beam 5 on 30 s", _ratio),
    ("words in noise", lambda figures: f"{_names(figures['invented'])} of {figures['noises']}"),
)

_CALL_ROWS: Final[tuple[tuple[str, Callable[[Json], str]], ...]] = (
    ("clips with words", lambda figures: str(figures["with_words"])),
    ("answered", lambda figures: str(figures["answered"])),
    ("not answered", lambda figures: _names(figures["unanswered"])),
    ("empty", lambda figures: _names(figures["empty"])),
    ("doubled", lambda figures: _names(figures["doubled"])),
    ("word error, English", lambda figures: _percent(figures["errors"]["english"])),
    ("word error, other languages", lambda figures: _percent(figures["errors"]["others"])),
    ("character error, zh ja ko", lambda figures: _percent(figures["errors"]["characters"])),
    ("voice to voice p50, p95", lambda figures: f"{figures['p50_ms']} ms, {figures['p95_ms']} ms"),
    ("words in noise", lambda figures: f"{_names(figures['invented'])} of {figures['noises']}"),
)
