"""`morgan keys`: API keys with scopes; `morgan join`: a link that lets one caller in."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from persistence.errors import InvalidTextError
from persistence.text import check_id
from server.bounds import MAX_TOKEN_S
from server.cli.env import running
from server.identity.grant import Grant
from server.identity.keys_file import ID_CHARS, KEYS_FILE, ApiKey, KeysFileError, new_key, read_keys, write_keys
from server.identity.scopes import parse_scopes
from server.services.access import build_tokens
from server.settings import Settings, SettingsError, load_settings

app = typer.Typer(no_args_is_help=True, help="API keys: who may do what.")

DataDir = Annotated[Path | None, typer.Option(help="Data directory of the server.")]
User = Annotated[str | None, typer.Option(help="Whose data it reaches; without, everybody's.")]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="calls, read, erase, speech, llm, tokens, metrics, service, admin.")
]
OwnLimit = Annotated[int | None, typer.Option(min=1, help="In place of the server's limit.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Scopes = None,
    user: User = None,
    calls_per_minute: OwnLimit = None,
    requests_per_minute: OwnLimit = None,
    calls_per_day: OwnLimit = None,
    requests_per_day: OwnLimit = None,
    days: Annotated[int | None, typer.Option(min=1, help="After so many it expires.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key, and print it: it is kept as a digest only. A running server takes it at once."""
    path = _path(data_dir)
    try:
        wanted = parse_scopes(scopes or ["calls", "read", "erase"])
        owner = None if user is None else check_id(user, "user")
    except (ValueError, InvalidTextError) as error:
        _stop(str(error), 2)
    own = _given(call=calls_per_minute, work=requests_per_minute)
    quotas = _given(call=calls_per_day, work=requests_per_day)
    first = not path.exists()
    secret, key = new_key(name, wanted, owner, own, None if days is None else days * 86_400, quotas)
    write_keys(path, [*_keys(path), key])
    if first:
        typer.echo("From now on this server lets nobody in without a key.", err=True)
    typer.echo(f"Key {key.id} for {name}, with {', '.join(sorted(wanted))}. It is not shown again:", err=True)
    typer.echo(secret)


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, data_dir: DataDir = None
) -> None:
    """Show the keys that there are."""
    keys = _keys(_path(data_dir))
    if as_json:
        typer.echo(json.dumps([_described(key) for key in keys], indent=2))
        return
    table = Table(title="Keys", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("id", "name", "scopes", "user", "limits", "made", "expires"):
        # Ids are there to be copied: other columns make room.
        table.add_column(heading, no_wrap=heading == "id", min_width=ID_CHARS if heading == "id" else None)
    for key in keys:
        limits = [f"{most} {cost}/min" for cost, most in key.per_minute.items()]
        limits += [f"{most} {cost}/day" for cost, most in key.per_day.items()]
        scopes, expires = " ".join(sorted(key.scopes)), _day(key.expires_at) or "never"
        table.add_row(key.id, key.name, scopes, key.user_id or "all", "\n".join(limits), _day(key.created_at), expires)
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Its id, as `morgan keys list` shows it.")], data_dir: DataDir = None
) -> None:
    """Take a key back; it lets nobody in from the next request on."""
    path = _path(data_dir)
    keys = _keys(path)
    left = [key for key in keys if key.id != key_id]
    if len(left) == len(keys):
        _stop(f"There is no key {key_id}; `morgan keys list` shows them.")
    write_keys(path, left)
    typer.echo(f"Key {key_id} is revoked.", err=True)
    if not left:
        typer.echo(f"No key is left, and keys are asked for all the same, as long as there is {path}.", err=True)


def join(
    user: Annotated[str | None, typer.Option(help="Who the caller is; without, a guest.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=MAX_TOKEN_S / 3600, help="How long the link holds.")] = 1.0,
    base_url: Annotated[str | None, typer.Option(help="Where callers reach the page, such as https://host.")] = None,
    language: Annotated[str | None, typer.Option(help="What they speak, ISO 639-1.")] = None,
    instructions: Annotated[str | None, typer.Option(help="How Morgan should be with them.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Print a link that signs one caller in on the call page, once, without a key."""
    settings = _settings(data_dir)
    options = {name: said for name, said in (("language", language), ("instructions", instructions)) if said}
    try:
        owner = None if user is None else check_id(user, "user")
        grant = Grant("join", frozenset({"calls", "read", "erase"}), owner, options, issuer="morgan join")
        minted = build_tokens(settings).mint(grant, round(hours * 3600))
    except (ValueError, InvalidTextError, OSError) as error:
        _stop(str(error), 2)
    root = base_url or (running(settings.data_dir) or {}).get("MORGAN_URL") or f"http://localhost:{settings.port}"
    until = datetime.fromtimestamp(minted.expires_at, tz=UTC).isoformat(timespec="minutes")
    typer.echo(f"For {minted.user_id}, once, until {until}:", err=True)
    typer.echo(f"{root.rstrip('/')}/?token={minted.value}")


def _settings(data_dir: Path | None) -> Settings:
    try:
        return load_settings({"data_dir": data_dir})
    except SettingsError as error:
        _stop(f"The settings do not fit.\n{error}", 2)


def _path(data_dir: Path | None) -> Path:
    return _settings(data_dir).data_dir / KEYS_FILE


def _keys(path: Path) -> tuple[ApiKey, ...]:
    try:
        return read_keys(path)
    except KeysFileError as error:
        _stop(str(error))


def _described(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "user_id": key.user_id,
        "per_minute": dict(key.per_minute),
        "per_day": dict(key.per_day),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "expired": key.expired(time.time()),
    }


def _given(**limits: int | None) -> dict[str, int]:
    return {cost: most for cost, most in limits.items() if most is not None}


def _day(at: int | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, tz=UTC).date().isoformat()


def _stop(message: str, code: int = 1) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
