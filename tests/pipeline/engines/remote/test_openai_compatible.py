"""The remote engines against a real HTTP server on loopback that speaks the protocol, well and badly."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from pipeline.engines.protocols import AnswerForm, ChatDelta, ChatRequest, EngineError, EngineUnavailableError, Message
from pipeline.engines.remote.openai_chat import GREETING_TOKENS, OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.engines.remote.openai_speech import OpenAiSpeech
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket
from tests.upstream import Handler, Server, chunk, events, failing, reply, send, tone

REQUEST = ChatRequest((Message("system", "Be brief."), Message("user", "Hi")), max_tokens=5, stop=("\n",))


async def hanging(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def silent_after_one(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = await events(request)
    await send(response, chunk("Hel"))
    await asyncio.sleep(30)
    return response


async def disconnecting(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = await events(request)
    await send(response, chunk("Hel"))
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def chat(server: Server) -> AsyncIterator[OpenAiChat]:
    engine = OpenAiChat(Endpoint(server.url, "secret", first_timeout_s=2.0, next_timeout_s=1.5, capacity=2), "small")
    yield engine
    await engine.close()


@pytest.fixture
async def voice(server: Server) -> AsyncIterator[OpenAiSpeech]:
    engine = OpenAiSpeech(Endpoint(server.url, first_timeout_s=2.0, next_timeout_s=1.5), "tts", ("alloy", "nova"))
    yield engine
    await engine.close()


async def collect(stream: AsyncIterator[ChatDelta], into: list[str]) -> None:
    async for delta in stream:
        into.append(delta.text)  # noqa: PERF401 - a comprehension would lose the texts before the error


async def test_a_reply_comes_in_pieces_with_its_counts_at_the_end(chat: OpenAiChat, server: Server) -> None:
    deltas = [delta async for delta in chat.stream(REQUEST, Ticket())]
    assert deltas == [ChatDelta("Hel"), ChatDelta("lo"), ChatDelta("", "stop", 11, 2)]
    assert chat.in_flight == 0


async def test_the_server_is_asked_for_what_the_request_says(chat: OpenAiChat, server: Server) -> None:
    await collect(chat.stream(REQUEST, Ticket()), [])
    (asked,) = server.asked
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (asked["model"], asked["max_tokens"], asked["temperature"], asked["stop"]) == ("small", 5, 0, ["\n"])
    assert server.keys == ["Bearer secret"]


async def test_the_form_of_an_answer_is_handed_on(chat: OpenAiChat, server: Server) -> None:
    schema = {"type": "object"}
    for form in (AnswerForm(schema, "thing", "A thing.", True), AnswerForm()):
        await collect(chat.stream(replace(REQUEST, form=form), Ticket()), [])
    named = {"name": "thing", "description": "A thing.", "schema": schema, "strict": True}
    assert [asked["response_format"] for asked in server.asked] == [
        {"type": "json_schema", "json_schema": named},
        {"type": "json_object"},
    ]


async def test_the_first_piece_does_not_wait_for_the_second(chat: OpenAiChat, server: Server) -> None:
    server.chat = silent_after_one
    stream = chat.stream(REQUEST, Ticket())
    assert (await asyncio.wait_for(anext(stream), 60)).text == "Hel"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_reply_cut_at_the_limit_says_so(chat: OpenAiChat, server: Server) -> None:
    server.chat = reply("Hel", finish="length")
    assert [delta.finish_reason async for delta in chat.stream(REQUEST, Ticket())] == [None, "length"]


async def test_closing_the_iterator_closes_the_http_stream(chat: OpenAiChat, server: Server) -> None:
    server.chat = silent_after_one
    stream = chat.stream(REQUEST, Ticket())
    assert (await anext(stream)).text == "Hel"
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(server.hung_up.wait(), 60)
    assert chat.in_flight == 0


@pytest.mark.parametrize("handler", [hanging, silent_after_one])
async def test_cancelling_the_ticket_hangs_up_even_on_a_silent_server(server: Server, handler: Handler) -> None:
    chat = OpenAiChat(Endpoint(server.url), "small")
    server.chat = handler
    ticket, texts = Ticket(), list[str]()
    task = asyncio.create_task(collect(chat.stream(REQUEST, ticket), texts))
    await asyncio.sleep(0.15)
    started = time.perf_counter()
    ticket.cancel()
    await asyncio.wait_for(task, 60)
    assert time.perf_counter() - started < 20
    await asyncio.wait_for(server.hung_up.wait(), 60)
    assert texts == (["Hel"] if handler is silent_after_one else [])
    await chat.close()


async def test_cancelling_the_task_hangs_up_and_leaves_no_task_behind(chat: OpenAiChat, server: Server) -> None:
    server.chat = silent_after_one
    task = asyncio.create_task(collect(chat.stream(REQUEST, Ticket()), []))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.hung_up.wait(), 60)
    assert chat.in_flight == 0


@pytest.mark.parametrize(("handler", "said"), [(hanging, []), (silent_after_one, ["Hel"])])
async def test_a_server_that_falls_silent_is_an_error_in_time(
    chat: OpenAiChat, server: Server, handler: Handler, said: list[str]
) -> None:
    server.chat = handler
    texts: list[str] = []
    started = time.perf_counter()
    with pytest.raises(EngineError, match="no answer in time"):
        await collect(chat.stream(REQUEST, Ticket()), texts)
    assert 0.2 < time.perf_counter() - started < 60
    assert texts == said
    await asyncio.wait_for(server.hung_up.wait(), 60)


async def test_a_server_that_breaks_off_is_an_error_after_what_it_said(chat: OpenAiChat, server: Server) -> None:
    server.chat = disconnecting
    texts: list[str] = []
    with pytest.raises(EngineError, match="broke off"):
        await collect(chat.stream(REQUEST, Ticket()), texts)
    assert texts == ["Hel"]


async def test_a_reply_that_ends_without_a_reason_is_an_error(chat: OpenAiChat, server: Server) -> None:
    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await events(request)
        await send(response, chunk("Hel"))
        return response

    server.chat = handler
    with pytest.raises(EngineError, match="before it was finished"):
        await collect(chat.stream(REQUEST, Ticket()), [])


async def test_a_server_that_holds_the_stream_open_behind_the_end_does_not_hold_the_reply(server: Server) -> None:
    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await events(request)
        await send(response, chunk("Hel", finish="stop"))
        await asyncio.sleep(30)
        return response

    server.chat = handler
    chat = OpenAiChat(Endpoint(server.url), "small")
    deltas = await asyncio.wait_for(_all(chat.stream(REQUEST, Ticket())), 60)
    assert deltas == [ChatDelta("Hel"), ChatDelta("", "stop")]
    await chat.close()


async def _all(stream: AsyncIterator[ChatDelta]) -> list[ChatDelta]:
    return [delta async for delta in stream]


@pytest.mark.parametrize(
    "garbage",
    [
        "{not json",
        '{"error": {"message": "out of memory"}}',
        "null",
        "[]",
        "7",
        "[" * 20_000,
        '{"choices": "x"}',
        '{"choices": [{"delta": "x"}]}',
        '{"choices": [{"index": 0, "delta": {"content": 7}}]}',
        '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": "x"}]}}]}',
        '{"choices": [], "usage": {"prompt_tokens": "x"}}',
    ],
)
async def test_garbage_and_errors_inside_the_stream_are_engine_errors(
    chat: OpenAiChat, server: Server, garbage: str
) -> None:
    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await events(request)
        await send(response, garbage)
        return response

    server.chat = handler
    with pytest.raises(EngineError):
        await collect(chat.stream(REQUEST, Ticket()), [])


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, EngineUnavailableError, "API key"),
        (404, EngineUnavailableError, "no such model"),
        (429, EngineError, "status 429"),
        (500, EngineError, "status 500"),
    ],
)
async def test_a_refusal_says_why(
    chat: OpenAiChat, server: Server, status: int, error: type[EngineError], message: str
) -> None:
    server.chat = failing(status)
    with pytest.raises(error, match=message) as caught:
        await collect(chat.stream(REQUEST, Ticket()), [])
    assert "secret" not in str(caught.value)
    assert len(server.asked) == 1, "a caller does not wait for retries"


async def test_a_server_that_is_not_there_is_named() -> None:
    chat = OpenAiChat(Endpoint("http://127.0.0.1:9/v1"), "small")
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9.*is the server running"):
        await collect(chat.stream(REQUEST, Ticket()), [])
    await chat.close()


async def test_a_kept_connection_that_the_server_has_closed_is_opened_again(chat: OpenAiChat, server: Server) -> None:
    answers = 0

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        nonlocal answers
        answers += 1
        if answers == 2:
            assert request.transport is not None
            request.transport.abort()
        return await reply("Hel", "lo")(request, body)

    server.chat = handler
    for _ in range(2):
        texts: list[str] = []
        await collect(chat.stream(REQUEST, Ticket()), texts)
        assert "".join(texts) == "Hello"
    assert answers == 3


async def test_more_requests_than_the_bound_are_refused(chat: OpenAiChat, server: Server) -> None:
    server.chat = silent_after_one
    streams = [chat.stream(REQUEST, Ticket()) for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(LaneFullError):
        await anext(chat.stream(REQUEST, Ticket()))
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    server.chat = reply("Hel")
    assert (await anext(chat.stream(REQUEST, Ticket()))).text == "Hel"


async def test_prefilling_asks_for_one_token_where_it_is_wanted(chat: OpenAiChat, server: Server) -> None:
    await chat.prefill(REQUEST, Ticket())
    assert server.asked == []
    eager = OpenAiChat(Endpoint(server.url), "small", prefills=True, limit_field="max_completion_tokens")
    await eager.prefill(REQUEST, Ticket())
    assert server.asked[0]["max_completion_tokens"] == 1
    server.chat = failing(500)
    await eager.prefill(REQUEST, Ticket())
    await eager.close()


async def test_warming_up_has_it_greet_and_reports_a_refusal(chat: OpenAiChat, server: Server) -> None:
    await chat.warm_up()
    assert server.asked[0]["max_tokens"] == GREETING_TOKENS
    server.chat = failing(404)
    with pytest.raises(EngineUnavailableError):
        await chat.warm_up()


async def test_a_closed_engine_refuses(chat: OpenAiChat) -> None:
    await chat.close()
    with pytest.raises(LaneClosedError):
        await anext(chat.stream(REQUEST, Ticket()))


async def spoken(engine: OpenAiSpeech, text: str = "Hello.", **options: Any) -> np.ndarray:
    chunks = [part.pcm async for part in engine.synthesize(text, Ticket(), **options)]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


async def test_speech_arrives_whole_although_pieces_end_inside_samples(voice: OpenAiSpeech, server: Server) -> None:
    pcm = await spoken(voice, voice="nova", speed=1.5)
    assert np.array_equal(pcm, np.arange(12_000) % 2_000)
    (asked,) = server.asked
    assert (asked["input"], asked["voice"], asked["speed"]) == ("Hello.", "nova", 1.5)
    assert asked["response_format"] == "pcm"


async def test_speech_of_another_rate_is_resampled(server: Server) -> None:
    engine = OpenAiSpeech(Endpoint(server.url), "tts", ("alloy",), rate=16_000)
    assert (await spoken(engine)).size == pytest.approx(18_000, abs=50)
    await engine.close()


async def test_speech_begins_before_it_is_complete(voice: OpenAiSpeech, server: Server) -> None:
    sent = asyncio.Event()

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(bytes(2_000))
        await asyncio.wait_for(sent.wait(), 60)
        await response.write(bytes(2_000))
        return response

    server.speech = handler
    stream = voice.synthesize("Hello.", Ticket())
    assert (await anext(stream)).pcm.size == 1_000
    sent.set()
    assert [part.pcm.size async for part in stream] == [1_000]


async def test_an_audio_file_in_place_of_pcm_is_refused(voice: OpenAiSpeech, server: Server) -> None:
    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=b"RIFF" + bytes(5_000))

    server.speech = handler
    with pytest.raises(EngineError, match="not PCM"):
        await spoken(voice)


async def test_speech_from_a_server_that_hangs_or_breaks_off_is_an_error(voice: OpenAiSpeech, server: Server) -> None:
    async def breaking(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(bytes(4_000))
        assert request.transport is not None
        request.transport.abort()
        return response

    server.speech = hanging
    with pytest.raises(EngineError, match="no answer in time"):
        await spoken(voice)
    server.speech = breaking
    with pytest.raises(EngineError, match="broke off"):
        await spoken(voice)
    server.speech = failing(503)
    with pytest.raises(EngineError, match="status 503"):
        await spoken(voice)
    assert voice.in_flight == 0


async def test_cancelling_the_ticket_stops_the_speech(voice: OpenAiSpeech, server: Server) -> None:
    server.speech = tone(samples=2_000_000)
    ticket, samples = Ticket(), 0
    async for part in voice.synthesize("Hello.", ticket):
        samples += part.pcm.size
        ticket.cancel()
    assert 0 < samples < 100_000
    await asyncio.wait_for(server.hung_up.wait(), 60)


async def test_an_unknown_voice_is_refused_with_the_known_ones(voice: OpenAiSpeech) -> None:
    with pytest.raises(ValueError, match="alloy, nova"):
        voice.synthesize("Hello.", Ticket(), voice="nobody")
    with pytest.raises(ValueError, match="one voice"):
        OpenAiSpeech(Endpoint("http://127.0.0.1:9/v1"), "tts", ())


async def test_text_without_words_asks_nothing(voice: OpenAiSpeech, server: Server) -> None:
    assert (await spoken(voice, "...")).size == 0
    assert server.asked == []
