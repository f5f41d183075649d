"""The figures of `morgan bench capacity` as a picture: waits beside what a turn costs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.capacity_table import stages_in

Plotter = Callable[[Sequence[Mapping[str, Any]], str, Path], None]


def plotter() -> Plotter:
    """What draws; asked for before anything is measured, so that nobody waits for a measurement without a picture.

    Raises:
        SystemExit: matplotlib is missing; the message says how to get it.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit(
            "--png wants matplotlib, which is an extra: pip install 'morgan-voice[bench]', or leave --png out"
        ) from None
    mpl.use("Agg")
    return _draw


def _draw(levels: Sequence[Mapping[str, Any]], machine: str, path: Path) -> None:
    from matplotlib import pyplot

    figure, (waits, costs) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    figure.suptitle(machine, fontsize=9)
    labels = [_label(level) for level in levels]
    places = range(len(levels))
    for name, shift, colour in (("p50_ms", -0.2, "tab:blue"), ("p95_ms", 0.2, "tab:orange")):
        heights = [(level[name] or 0) / 1000 for level in levels]
        waits.bar([place + shift for place in places], heights, 0.4, label=name.removesuffix("_ms"), color=colour)
    waits.set_ylabel("voice to voice, s")
    bottoms = [0.0] * len(levels)
    for stage in stages_in(levels):
        heights = [level["cpu_ms_per_turn"].get(stage, 0) / 1000 for level in levels]
        costs.bar(list(places), heights, 0.6, bottom=bottoms, label=stage)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    costs.set_ylabel("processor time of a turn, s")
    for axes in (waits, costs):
        axes.set_xticks(list(places), labels)
        axes.set_xlabel("callers at once: answered of asked, refused")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _label(level: Mapping[str, Any]) -> str:
    refused = f"\n{level['refused']} refused" if level["refused"] else ""
    return f"{level['callers']}\n{level['answered']}/{level['asked']}{refused}"
