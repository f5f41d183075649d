"""The `morgan` command."""

import typer

from server.cli import bench, calibrate, call, doctor, env, keys, memory, models, replay, serve, webhooks
from server.version import version

app = typer.Typer(
    name="morgan",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="A self-hosted real-time voice assistant that you call from a browser or a phone.",
)
app.command()(serve.serve)
app.command()(call.call)
app.command()(replay.replay)
app.add_typer(models.app, name="models")
app.command()(doctor.doctor)
app.command()(calibrate.calibrate)
app.command()(env.env)
app.add_typer(keys.app, name="keys")
app.command()(keys.join)
app.add_typer(memory.app, name="memory")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"morgan {version()}")
        raise typer.Exit


@app.callback()
def _options(
    _: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
