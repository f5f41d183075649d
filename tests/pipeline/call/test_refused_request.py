"""A language model that refuses a request and repeats it: the caller's words do not get into the log."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipeline.call.effects import Generate
from pipeline.call.engine_work import EngineWork
from pipeline.call.inputs import ReplyTextEnded
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ChatRequest, Message
from pipeline.engines.remote.openai_chat import OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.scheduling.lanes import Ticket
from server.observability.logs import configure_logs
from server.settings import Settings
from tests.upstream import Server

REQUEST = ChatRequest((Message("user", "I like marmalade"),), max_tokens=5)


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_what_a_server_repeats_of_a_request_gets_into_no_log(
    status: int, tmp_path: Path, logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    async def repeating(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": f"invalid: {json.dumps(body)}"}}, status=status)

    configure_logs(Settings(data_dir=tmp_path, log_format="json"))
    server = Server()
    server.chat = repeating
    await server.start()
    posted: asyncio.Queue[Any] = asyncio.Queue()
    engines: Any = type("Engines", (), {"llm": OpenAiChat(Endpoint(server.url), "small")})()
    unused: Any = None
    work = EngineWork(engines, CallOptions(), unused, None, posted.put_nowait, posted.put_nowait)
    work.begin(Generate("resp_1", "reply", REQUEST, Ticket()))
    ended = await posted.get()
    assert isinstance(ended, ReplyTextEnded)
    assert ended.failed
    await engines.llm.close()
    await server.stop()
    told = capsys.readouterr().err
    assert "language model" in told
    assert "marmalade" not in told
