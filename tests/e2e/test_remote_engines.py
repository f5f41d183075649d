"""Engines over HTTP against the real services: the same results, failures taken over, work that stops when nobody
waits for it any more."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from media.audio_file import AudioFile
from pipeline.audio import HEARING_RATE, Waveform, to_waveform
from pipeline.engines.protocols import ChatRequest, EngineError, EngineUnavailableError, Message
from pipeline.engines.remote.llm import RemoteEmbedder, RemoteLanguageModel
from pipeline.engines.remote.look_up import look_up
from pipeline.engines.remote.reply import Question
from pipeline.engines.remote.service import RemoteService
from pipeline.engines.remote.stt import RemoteSpeechToText
from pipeline.engines.remote.tts import RemoteTextToSpeech
from pipeline.scheduling.lanes import Ticket, Urgency
from server.http.errors import errors_as_json
from server.http.tickets import TICKETS, asked_ticket
from server.http.tickets import routes as ticket_routes
from tests.serving import free_port

STORY = ChatRequest((Message("user", "Tell me a very long story about the sea."),), max_tokens=1500)


def service_url(server_url: str, offset: int) -> str:
    host, _, port = server_url.rpartition(":")
    return f"{host}:{int(port) + offset}"


@pytest.fixture
def llm_url(server_url: str) -> str:
    return service_url(server_url, 1)


@pytest.fixture
def tts_url(server_url: str) -> str:
    return service_url(server_url, 2)


@pytest.fixture
def stt_url(server_url: str) -> str:
    return service_url(server_url, 3)


@pytest.fixture(scope="module")
def question(repository: Path) -> Waveform:
    audio = AudioFile((repository / "tests" / "clips" / "question.wav").read_bytes(), HEARING_RATE)
    return to_waveform(audio.read(30 * HEARING_RATE))


@asynccontextmanager
async def remote(name: str, *urls: str) -> AsyncIterator[RemoteService]:
    service = RemoteService(name, urls)
    try:
        yield service
    finally:
        await service.close()


async def health(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as response:
        found: dict[str, Any] = await response.json()
        return found


async def idle(url: str, seconds: float = 3.0) -> bool:
    """Whether a service has nothing in hand within some seconds."""
    until = time.monotonic() + seconds
    while (found := await health(url))["running"] or found["waiting"]:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.02)
    return True


@asynccontextmanager
async def forwarding(target: str, port: int) -> AsyncIterator[None]:
    """A port that leads to a service as long as the context lasts."""
    host, _, target_port = target.removeprefix("http://").rpartition(":")
    open_writers: set[asyncio.StreamWriter] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(target_port))
        open_writers.update((writer, back))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        listening.close()
        for writer in open_writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)


async def test_a_transcript_is_whole_with_words_and_doubts(stt_url: str, question: Waveform) -> None:
    async with remote("stt", stt_url) as service:
        stt = RemoteSpeechToText(service, await health(stt_url))
        heard = await stt.transcribe(question, Ticket(Urgency.FINAL_TRANSCRIPT), language="en", word_timestamps=True)
        silent = await stt.transcribe(np.zeros(HEARING_RATE, np.float32), Ticket())
        with pytest.raises(ValueError, match="tlh"):
            await stt.transcribe(question[:0], Ticket(), language="tlh")
    assert "how are you" in heard.text.lower()
    assert heard.duration == pytest.approx(question.size / HEARING_RATE)
    assert [word.text for word in heard.words] == heard.text.split()
    assert 0.5 < heard.confidence <= 1
    assert silent.text == ""
    assert silent.no_speech > heard.no_speech


async def test_a_clause_comes_with_its_words_and_an_unknown_voice_is_told(tts_url: str) -> None:
    async with remote("tts", tts_url) as service:
        listed = await asyncio.to_thread(look_up, "tts", [tts_url], "/voices", "", 5.0)
        tts = RemoteTextToSpeech(service, await health(tts_url), listed)
        chunks = [chunk async for chunk in tts.synthesize("The tide comes in.", Ticket(Urgency.FIRST_AUDIO))]
        with pytest.raises(ValueError, match="known are"):
            tts.synthesize("Hello.", Ticket(), voice="nobody")
    assert [word.text for chunk in chunks for word in chunk.words] == ["The", "tide", "comes", "in."]
    pcm = np.concatenate([chunk.pcm for chunk in chunks])
    assert 0.5 < pcm.size / 24_000 < 3
    assert np.abs(pcm).max() > 3000


async def test_a_closed_iterator_stops_the_language_model(llm_url: str) -> None:
    async with remote("llm", llm_url) as service:
        llm = RemoteLanguageModel(service, await health(llm_url))
        async with aclosing(llm.stream(STORY, Ticket(Urgency.FIRST_AUDIO))) as deltas:  # type: ignore[type-var]
            said = [(await anext(deltas)).text for _ in range(5)]
            assert (await health(llm_url))["running"] == 1
        assert await idle(llm_url)
        assert service.load.running == 0
    assert "".join(said).strip()


async def test_a_cancelled_ticket_ends_the_stream_and_stops_the_language_model(llm_url: str) -> None:
    async with remote("llm", llm_url) as service:
        llm = RemoteLanguageModel(service, await health(llm_url))
        ticket, deltas = Ticket(Urgency.FIRST_AUDIO), []
        async for delta in llm.stream(STORY, ticket):
            deltas.append(delta)
            if len(deltas) == 5:
                ticket.cancel()
        assert await idle(llm_url)
    assert deltas[-1].finish_reason is None


async def test_a_cancelled_task_stops_the_voice(tts_url: str) -> None:
    async with remote("tts", tts_url) as service:
        listed = await asyncio.to_thread(look_up, "tts", [tts_url], "/voices", "", 5.0)
        tts = RemoteTextToSpeech(service, await health(tts_url), listed)

        async def say() -> None:
            async for _ in tts.synthesize("and the wave went on and on " * 60, Ticket(Urgency.FIRST_AUDIO)):
                pass

        speaking = asyncio.create_task(say())
        while not (await health(tts_url))["running"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        assert await idle(tts_url)


async def test_what_was_read_ahead_is_not_read_again(llm_url: str) -> None:
    opening = Message("system", "You are the keeper of a lighthouse. " * 12)
    key = f"conversation {time.monotonic()}"
    asked = ChatRequest((opening, Message("user", "Who are you?")), key, max_tokens=4)
    async with remote("llm", llm_url) as service:
        llm = RemoteLanguageModel(service, await health(llm_url))
        await llm.prefill(ChatRequest((opening,), key), Ticket(Urgency.SPECULATION))
        await llm.prefill(asked, Ticket(Urgency.SPECULATION))
        before = (await health(llm_url))["tokens"]
        deltas = [delta async for delta in llm.stream(asked, Ticket(Urgency.FIRST_AUDIO))]
        after = (await health(llm_url))["tokens"]
    assert deltas[-1].prompt_tokens > 80
    assert after["evaluated"] - before["evaluated"] < 20


async def test_texts_are_embedded_where_they_mean_the_same(llm_url: str) -> None:
    told = await health(llm_url)
    async with remote("llm", llm_url) as service:
        embedder = RemoteEmbedder(service, told["embedder"])
        dog, puppy, tax = await embedder.embed(["my dog", "our puppy", "income tax law"], Ticket(Urgency.INTERIM))
    assert len(dog) == embedder.dimensions == 384
    assert np.dot(dog, puppy) > np.dot(dog, tax) + 0.2


async def test_a_dead_server_is_passed_over_and_then_left_out(stt_url: str, question: Waveform) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    async with remote("stt", dead, stt_url) as service:
        stt = RemoteSpeechToText(service, await health(stt_url))
        texts = [(await stt.transcribe(question, Ticket(Urgency.FINAL_TRANSCRIPT), language="en")).text for _ in "123"]
        described = {each["url"]: each for each in service.describe()}
    assert all("how are you" in text.lower() for text in texts)
    assert described[dead]["state"] != "closed"
    assert described[dead]["problem"]
    assert described[stt_url]["state"] == "closed"


async def test_audio_that_a_dying_server_had_taken_goes_to_another(stt_url: str, question: Waveform) -> None:
    taken: list[int] = []

    async def die(request: web.Request) -> web.Response:
        taken.append(len(await request.read()))
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app, port = web.Application(), free_port()
    app.router.add_post("/transcribe", die)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with remote("stt", f"http://127.0.0.1:{port}", stt_url) as service:
        stt = RemoteSpeechToText(service, await health(stt_url))
        while not taken:
            heard = await stt.transcribe(question, Ticket(Urgency.FINAL_TRANSCRIPT), language="en")
            assert "how are you" in heard.text.lower()
    await runner.cleanup()
    assert taken[0] == 2 * question.size


async def test_what_somebody_said_waits_for_a_service_that_restarts(stt_url: str, question: Waveform) -> None:
    port = free_port()
    async with remote("stt", f"http://127.0.0.1:{port}") as service:
        stt = RemoteSpeechToText(service, await health(stt_url))
        with pytest.raises(EngineError):
            await stt.transcribe(question, Ticket(Urgency.INTERIM))
        asked = asyncio.create_task(stt.transcribe(question, Ticket(Urgency.FINAL_TRANSCRIPT), language="en"))
        await asyncio.sleep(1.0)
        async with forwarding(stt_url, port):
            assert "how are you" in (await asked).text.lower()


async def test_a_service_that_comes_back_is_found_without_a_request(llm_url: str) -> None:
    port = free_port()
    async with remote("llm", f"http://127.0.0.1:{port}") as service:
        llm = RemoteLanguageModel(service, await health(llm_url))
        with pytest.raises(EngineError):
            await llm.warm_up()
        assert service.replicas.usable(time.monotonic()) == 0
        async with forwarding(llm_url, port):
            until = time.monotonic() + 10
            while not service.replicas.usable(time.monotonic()):
                assert time.monotonic() < until
                await asyncio.sleep(0.05)
            await llm.warm_up()


async def test_a_raised_urgency_travels_to_work_that_is_under_way() -> None:
    seen: list[Urgency] = []

    async def work(request: web.Request) -> web.Response:
        with asked_ticket(request) as ticket:
            seen.append(ticket.urgency)
            while ticket.urgency is seen[0]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            seen.append(ticket.urgency)
        return web.json_response({})

    app, port = web.Application(middlewares=[errors_as_json]), free_port()
    app[TICKETS] = {}
    app.router.add_post("/work", work)
    app.add_routes(ticket_routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    ticket = Ticket(Urgency.SPECULATION, time.monotonic() + 1)
    async with remote("stt", f"http://127.0.0.1:{port}") as service:
        asyncio.get_running_loop().call_later(0.1, setattr, ticket, "urgency", Urgency.FINAL_TRANSCRIPT)
        async with asyncio.timeout(5), service.ask(Question("/work", b"{}"), ticket) as reply:
            assert reply is not None
            await reply.json()
    await runner.cleanup()
    assert seen == [Urgency.SPECULATION, Urgency.FINAL_TRANSCRIPT]
    assert app[TICKETS] == {}


async def test_a_service_that_never_comes_is_told_with_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EngineUnavailableError, match=r"morgan serve --role tts.*MORGAN_TTS_URL"):
        await asyncio.to_thread(look_up, "tts", [url], "/health", "", 0.2)
