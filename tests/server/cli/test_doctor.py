"""`morgan doctor`: what it finds, what it advises, and how it ends."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.processor import usable_memory
from server.cli.check import Check
from server.cli.checks import check_folders, check_models, check_package, check_ports
from server.settings import Settings

GIB = 1 << 30
HEALTH = {"status": "ok", "version": "0.1.0", "components": {}}


def doctor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `morgan doctor` in a process of its own."""
    code = "import typer; from server.cli.doctor import doctor; typer.run(doctor)"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=110, check=False)


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def block_of_ports() -> int:
    """The first of four neighbouring TCP ports that are free now."""
    for port in range(20_000 + os.getpid() % 10_000, 60_000, 4):
        try:
            for offset in range(4):
                with socket.create_server(("127.0.0.1", port + offset)):
                    pass
        except OSError:
            continue
        return port
    raise AssertionError("no four free ports")


@contextmanager
def answering(port: int, status: int, body: dict[str, Any]) -> Iterator[None]:
    """An HTTP server that answers everything with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_whole_table_as_json_ends_with_0_on_a_machine_that_can_serve(models_dir: Path, tmp_path: Path) -> None:
    port = str(block_of_ports())
    result = doctor("--json", MORGAN_PORT=port, MORGAN_DATA_DIR=str(tmp_path), MORGAN_MODELS_DIR=str(models_dir))
    report = json.loads(result.stdout)
    failed = [check for check in report["checks"] if check["verdict"] == "fail"]
    assert (result.returncode, report["ok"], failed) == (0, True, [])
    found = {check["name"]: check["found"] for check in report["checks"]}
    assert found["Python"].startswith(sys.version.split()[0])
    assert found["libopus"].startswith("libopus")
    assert found["Package onnxruntime"].startswith("onnxruntime 1.")
    assert found["Model whisper-base"] == "147.9 MB, verified"


def test_the_table_for_people_has_the_advice_and_ends_with_1_when_a_port_is_taken(tmp_path: Path) -> None:
    port = block_of_ports()
    with socket.create_server(("127.0.0.1", port)):
        result = doctor(MORGAN_PORT=str(port), MORGAN_DATA_DIR=str(tmp_path), COLUMNS="120")
    assert result.returncode == 1
    assert f"TCP {port} (core)" in result.stdout
    assert "taken by another program" in result.stdout
    assert "morgan serve --port 9000" in result.stdout
    assert "Morgan cannot run like this" in result.stdout


@pytest.mark.parametrize("status", [200, 503])
def test_a_port_on_which_a_morgan_answers_is_no_trouble(status: int) -> None:
    port = block_of_ports()
    with answering(port, status, HEALTH):
        check = by_name(check_ports(Settings(port=port)))[f"TCP {port} (core)"]
    assert (check.verdict, check.found) == ("ok", "a Morgan answers there")


def test_a_port_on_which_something_else_answers_is_taken() -> None:
    port = block_of_ports()
    with answering(port, 200, {"hello": "world"}):
        check = by_name(check_ports(Settings(port=port)))[f"TCP {port} (core)"]
    assert (check.verdict, check.found) == ("fail", "taken by another program")


def test_a_taken_media_port_names_the_setting() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        check = by_name(check_ports(Settings(port=block_of_ports(), media_port=port)))[f"UDP {port} (calls)"]
    assert check.verdict == "fail"
    assert "MORGAN_MEDIA_PORT" in check.advice


def test_a_package_that_is_not_there_comes_with_the_command_that_installs_it() -> None:
    check = check_package("no_such_package", "make setup EXTRAS=piper,llama")
    assert check.verdict == "fail"
    assert "No module named 'no_such_package'" in check.found
    assert check.advice == "Install it: make setup EXTRAS=piper,llama"


def test_a_package_that_crashes_the_interpreter_does_not_crash_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = check_package("crashing", "make setup")
    assert check.verdict == "fail"
    assert check.found.startswith("crashes on import (signal 4)")


def test_a_package_that_misses_openmp_is_told_which_system_package_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "without_openmp.py").write_text(f"raise ImportError({text!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = check_package("without_openmp", "make setup")
    assert check.verdict == "fail"
    assert check.advice == "Install it: apt-get install libgomp1 (Debian, Ubuntu)"


def test_missing_weights_are_a_warning_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    checks = by_name(check_models(Settings(models_dir=tmp_path)))
    assert checks["Model whisper-base"].verdict == "warn"
    assert "`morgan models pull whisper-base`" in checks["Model whisper-base"].advice


def test_a_data_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check = by_name(check_folders(Settings(data_dir=tmp_path / "file" / "data")))["Data folder"]
    assert check.verdict == "fail"
    assert "MORGAN_DATA_DIR" in check.advice


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [(None, None, 8 * GIB), ("max", GIB, 8 * GIB), (2 * GIB, GIB, GIB), (64 * GIB, GIB, 8 * GIB)],
)
def test_memory_counts_what_the_container_leaves(
    tmp_path: Path, limit: int | str | None, used: int | None, expected: int
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    cgroup = tmp_path / "sys" / "fs" / "cgroup"
    cgroup.mkdir(parents=True)
    if limit is not None:
        (cgroup / "memory.max").write_text(f"{limit}\n")
        (cgroup / "memory.current").write_text(f"{used}\n")
    assert usable_memory(tmp_path) == expected


def test_memory_is_unknown_where_nobody_says(tmp_path: Path) -> None:
    assert usable_memory(tmp_path) is None


def test_config_shows_every_setting_with_its_variable_and_hides_secrets() -> None:
    key = "a-key-that-nobody-should-read"
    result = doctor("--config", MORGAN_API_KEYS=key, MORGAN_PORT="9100", MORGAN_TURN_TAKING__PAUSE_S="0.25")
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if len(line.split()) > 1)
    assert shown["MORGAN_PORT"] == "9100"
    assert shown["MORGAN_TURN_TAKING__PAUSE_S"] == "0.25"
    assert {f"MORGAN_{name.upper()}" for name in Settings.model_fields} - {"MORGAN_TURN_TAKING"} <= {
        line.split()[0] for line in result.stdout.splitlines()
    }
    assert key not in result.stdout
    assert "*" in shown["MORGAN_API_KEYS"]


def test_config_as_json_is_the_settings() -> None:
    shown = json.loads(doctor("--config", "--json", MORGAN_PORT="9100").stdout)
    assert (shown["port"], shown["turn_taking"]["pause_s"]) == (9100, Settings().turn_taking.pause_s)


def test_a_malformed_setting_ends_with_2_and_its_name() -> None:
    result = doctor(MORGAN_PORT="ninety")
    assert result.returncode == 2
    assert "port: Input should be a valid integer" in result.stderr
