"""`morgan bench` where there is nothing to measure."""

from typer.testing import CliRunner

from server.cli.bench import app
from tests.serving import free_port


def test_a_bench_without_its_server_says_what_to_start() -> None:
    done = CliRunner().invoke(app, ["voice-to-voice", "--cut", "--url", f"http://127.0.0.1:{free_port()}"])
    assert done.exit_code == 1
    assert "make serve" in done.output
    assert "Traceback" not in done.output
