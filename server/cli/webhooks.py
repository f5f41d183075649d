"""`morgan webhooks`: a secret to sign them with, and whether the receivers take them."""

import asyncio
import base64
import secrets

import typer

from server.observability.metrics import Metrics
from server.settings import Settings, SettingsError, load_settings
from server.settings.webhooks import SECRET_PREFIX
from server.webhooks.receiver import Outcome
from server.webhooks.webhooks import Webhooks

SECRET_BYTES = 32

app = typer.Typer(no_args_is_help=True, help="Webhooks: what happens in calls, told to other servers.")


@app.command()
def secret() -> None:
    """Print a new secret: for MORGAN_WEBHOOK_SECRET, and for the receivers."""
    typer.echo(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


@app.command()
def test() -> None:
    """Send each receiver of the settings one signed message `webhook.test`, and say what it answered."""
    try:
        settings = load_settings()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if not settings.webhook_urls:
        typer.echo("There is nobody to tell: set MORGAN_WEBHOOK_URLS and MORGAN_WEBHOOK_SECRET", err=True)
        raise typer.Exit(2)
    outcomes = asyncio.run(_tried(settings))
    for url, outcome in outcomes:
        typer.echo(f"{url}: {'taken' if outcome.taken else outcome.problem}")
    if not all(outcome.taken for _, outcome in outcomes):
        raise typer.Exit(1)


async def _tried(settings: Settings) -> list[tuple[str, Outcome]]:
    secret_told = settings.webhook_secret.get_secret_value()
    webhooks = Webhooks(
        settings.webhook_urls, secret_told, settings.data_dir, Metrics(), private=settings.webhook_private
    )
    try:
        return await webhooks.try_each()
    finally:
        await webhooks.close()
