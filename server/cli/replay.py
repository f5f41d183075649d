"""`morgan replay`: a recorded call's machine, run again on what it was told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline.call.inputs import Tick, VoiceHeard
from pipeline.call.replay.codec import KIND, ReplayError, input_json
from pipeline.call.replay.replay import Recorded, Step

WIDTH = 160
"""Characters of a line; more are cut off."""

console = Console(stderr=True)


def replay(
    file: Annotated[Path, typer.Argument(help="What `morgan call --record-inputs` wrote, or a server.")],
    everything: Annotated[bool, typer.Option("--all", help="Print every tick and window of sound, too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only whether it comes out the same.")] = False,
) -> None:
    """Run a recorded call again: print what happened and what came of it, and whether it still comes out the same.

    Ends with 1 where it does not, with 2 where the file cannot be read.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            different, end = _play(Recorded(lines), everything=everything, quiet=quiet)
    except (OSError, UnicodeDecodeError, ReplayError) as error:
        console.print(f"{file}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    if end != "complete":
        typer.echo(f"The recording is not complete: {end}.")
    if different is not None:
        typer.echo(f"Different: first in line {different.line}, {different.second:.3f} s into the call.")
        for title, effects in (("recorded", different.recorded), ("now", different.replayed)):
            typer.echo(f"  {title}:")
            for effect in effects:
                typer.echo(f"    {json.dumps(effect, ensure_ascii=False)}")
        raise typer.Exit(1)
    typer.echo("The same as when it was recorded.")


def _play(recorded: Recorded, *, everything: bool, quiet: bool) -> tuple[Step | None, str]:
    """Run it and print the timeline; returns the first step that is different, and how the recording ended."""
    header = recorded.header
    if not quiet:
        typer.echo(f"Morgan {header.get('version', '?')}, {header.get('call_id', '?')}, {header.get('began_at', '?')}")
    different: Step | None = None
    for step in recorded.steps():
        if different is None and not step.same:
            different = step
        if not quiet:
            for line in _shown(step, everything):
                typer.echo(line[:WIDTH])
    return different, recorded.end


def _shown(step: Step, everything: bool) -> Iterator[str]:
    routine = isinstance(step.message, Tick | VoiceHeard)
    if routine and not everything and not step.effects and step.same:
        return
    mark = " " if step.same else "!"
    if not routine or everything:
        yield f"{mark}{step.second:9.3f} > {_words(input_json(step.message))}"
    for effect in step.replayed:
        yield f"{mark}{step.second:9.3f}   < {_words(effect.get('event', effect))}"


def _words(known: dict[str, Any]) -> str:
    """A value as words: its kind, and its fields as far as they are short."""
    fields = [f"{name}={_short(value)}" for name, value in known.items() if name != KIND and value not in (None, "")]
    return " ".join([known[KIND], *fields])


def _short(value: Any) -> str:
    match value:
        case {"urgency": urgency}:
            return str(urgency).lower()
        case {"samples": samples}:
            return f"{samples} samples"
        case {"pcm": str(pcm)}:
            return f"{len(pcm) * 3 // 8} samples"
        case {"messages": list(messages)}:
            return f"{len(messages)} messages, last {json.dumps(messages[-1]['content'], ensure_ascii=False)}"
        case float():
            return f"{value:.3f}"
        case _:
            return json.dumps(value, ensure_ascii=False)
