"""Language models of other programs are found and offered."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from server.cli.checks import check_other_minds
from server.minds.endpoints import first_model, found_here, models_at
from server.settings import Settings, SettingsError


class Endpoint:
    """An endpoint on loopback; `answer` is what it says to `/v1/models`."""

    def __init__(self) -> None:
        self.answer = json.dumps({"data": [{"id": "llama3.2:3b"}, {"id": "qwen3:4b"}]})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.answer.encode()
                self.send_response(200 if self.path == "/v1/models" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()


def test_its_models_are_told(endpoint: Endpoint) -> None:
    assert models_at(endpoint.url) == ["llama3.2:3b", "qwen3:4b"]
    assert first_model(endpoint.url) == "llama3.2:3b"


@pytest.mark.parametrize("answer", ["", "[]", '{"data": [1]}', '{"data": []}'])
def test_what_is_no_endpoint_is_said_to_be_none(endpoint: Endpoint, answer: str) -> None:
    endpoint.answer = answer
    with pytest.raises(SettingsError, match="models"):
        first_model(endpoint.url)
    assert found_here({"Ollama": endpoint.url}) == {}


def test_the_doctor_offers_what_runs_here(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.minds.endpoints.LOCAL", {"Ollama": endpoint.url, "None": "http://127.0.0.1:9/v1"})
    (check,) = check_other_minds(Settings())
    assert (check.name, check.verdict) == ("Ollama", "ok")
    assert "llama3.2:3b, qwen3:4b" in check.found
    assert f"morgan models use {endpoint.url}" in check.found
    assert list(check_other_minds(Settings(llm_base_url=endpoint.url))) == []
