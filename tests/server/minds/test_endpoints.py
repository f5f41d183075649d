"""Language models of other programs are found and offered."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from server.cli.checks import check_other_minds
from server.minds.endpoints import CLOUDS, first_model, found_here, models_at
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


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for cloud in CLOUDS:
        monkeypatch.delenv(cloud.key, raising=False)


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


@pytest.mark.parametrize(("owner", "found"), [("vllm", True), ("morgan", False), (None, False)])
def test_vllm_is_told_from_a_morgan_on_the_same_port(endpoint: Endpoint, owner: str | None, found: bool) -> None:
    model = {"id": "Qwen/Qwen3-4B"} if owner is None else {"id": "Qwen/Qwen3-4B", "owned_by": owner}
    endpoint.answer = json.dumps({"data": [model]})
    assert found_here({"vLLM": endpoint.url}) == ({"vLLM": (endpoint.url, ["Qwen/Qwen3-4B"])} if found else {})


def test_the_doctor_offers_a_service_of_which_there_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.minds.endpoints.LOCAL", {})
    monkeypatch.setenv("MISTRAL_API_KEY", "secret")
    (check,) = check_other_minds(Settings())
    assert (check.name, check.verdict) == ("Mistral", "ok")
    assert "morgan models use https://api.mistral.ai/v1" in check.found
    assert "secret" not in check.found
    assert list(check_other_minds(Settings(llm_base_url="https://api.mistral.ai/v1"))) == []
