"""Stock JavaScript clients with nothing changed but where they call: a question is heard and answered aloud, a function
of the client is called and its result told, and who speaks over the answer silences it.

The engines are scripted (`tests.server.attentive`): what is tried here are the clients and the way to the call.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from server.app import Server
from tests.e2e.npm_clients import client_page, client_site, clip, run_in_node, so
from tests.e2e.realtime_client import sound
from tests.media.calls import until
from tests.server.attentive import ARGUMENTS, HEARD, attentive_server

CLIPS = Path(__file__).parent.parent / "clips"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[str]:
    async with client_site() as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calling(origin: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    settings: dict[str, Any] = {"allowed_origins": origin, "connect_timeout_s": 60}
    async with attentive_server(tmp_path_factory.mktemp("javascript"), **settings) as server:
        yield server


async def in_node(folder: Path, script: str, **values: Any) -> Any:
    return await asyncio.to_thread(run_in_node, folder, script, **values)


# In a page -----------------------------------------------------------------------------------------------------------


async def test_agents_realtime_over_webrtc_in_chromium(calling: Server, origin: str) -> None:
    async with client_page(origin) as page:
        await page.evaluate(
            """async (url) => {
                const made = await fetch(`${url}/v1/realtime/client_secrets`, { method: "POST",
                    headers: { "Content-Type": "application/json" }, body: "{}" });
                const apiKey = (await made.json()).value;
                globalThis.cities = [];
                globalThis.kinds = [];
                globalThis.told = [];
                const weather = tool({ name: "weather", description: "The weather of a city, now.",
                    parameters: z.object({ city: z.string() }),
                    execute: async ({ city }) => { cities.push(city); return "it is 21 degrees"; } });
                const agent = new RealtimeAgent({ name: "Test", instructions: "Be brief.", tools: [weather] });
                const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
                const audioElement = document.createElement("audio");
                const baseUrl = `${url}/v1/realtime/calls`;
                const transport = new OpenAIRealtimeWebRTC({ baseUrl, mediaStream: stream, audioElement });
                globalThis.session = new RealtimeSession(agent, { transport });
                session.transport.on("*", (event) => { kinds.push(event.type); told.push(event); });
                session.on("error", (error) => { throw error; });
                await session.connect({ apiKey });
                listen(audioElement.srcObject);
            }""",
            calling.url,
        )
        await page.evaluate("say", clip("question"))
        await so(page, "cities.length > 0")
        assert await page.evaluate("cities") == ["Paris"]
        await so(page, "kinds.includes('output_audio_buffer.started') && heard.loudest > 0.05")
        # What the client makes of the conversation: the user's words, the function that was called, the answer to it.
        await so(page, "/how are you today/i.test(JSON.stringify(session.history))")
        calls = await page.evaluate("session.history.filter(item => item.type === 'function_call')")
        assert [(call["name"], call["status"]) for call in calls] == [("weather", "completed")]
        said = "told.filter(e => e.type === 'response.output_audio_transcript.delta').map(e => e.delta).join('')"
        await so(page, f"/tool says it is 21 degrees/.test({said})")
        await page.evaluate("say", clip("interruption"))
        await so(page, "kinds.includes('output_audio_buffer.cleared')")
        assert "error" not in await page.evaluate("kinds")
        await page.evaluate("session.close()")


async def test_openai_node_in_chromium(calling: Server, origin: str) -> None:
    """With the headers that it adds to every request of a page (`x-stainless-...`), which a preflight asks about."""
    async with client_page(origin) as page:
        told = await page.evaluate(
            """async (url) => {
                const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", dangerouslyAllowBrowser: true });
                const messages = [{ role: "user", content: "Hello." }];
                const chat = await client.chat.completions.create({ model: "m", messages });
                let streamed = "";
                for await (const chunk of await client.chat.completions.create({ model: "m", messages, stream: true }))
                    streamed += chunk.choices[0]?.delta?.content ?? "";
                const speech = await client.audio.speech.create({
                    model: "tts-1", voice: "alloy", input: "Good morning.", response_format: "wav" });
                const file = new File([await speech.arrayBuffer()], "said.wav", { type: "audio/wav" });
                const heard = await client.audio.transcriptions.create({ model: "whisper-1", file });
                const refused = await client.models.retrieve("nothing").catch((error) => [error.status, error.code]);
                const models = [];
                for await (const model of client.models.list()) models.push(model.id);
                return { chat: chat.choices[0].message.content, streamed, heard: heard.text, refused, models };
            }""",
            calling.url,
        )
        assert told["chat"].strip() == told["streamed"].strip() != ""
        assert told["heard"] == HEARD
        assert told["refused"] == [404, "model_not_found"]
        assert told["models"] == ["script"]
        said = await page.evaluate(
            """async (url) => {
                const dangerouslyAllowBrowser = true;
                const made = await fetch(`${url}/v1/realtime/client_secrets`, { method: "POST",
                    headers: { "Content-Type": "application/json" }, body: "{}" });
                const apiKey = (await made.json()).value;
                const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, dangerouslyAllowBrowser });
                const onURL = (address) => { address.protocol = "ws:"; };
                const how = { model: "m", onURL, dangerouslyAllowBrowser };
                const realtime = new OpenAIRealtimeWebSocket(how, client);
                const content = [{ type: "input_text", text: "Hello." }];
                let said = "";
                return await new Promise((done, failed) => {
                    realtime.on("error", failed);
                    realtime.on("response.output_text.delta", (event) => { said += event.delta; });
                    realtime.on("response.done", () => { realtime.close(); done(said); });
                    realtime.on("session.created", () => {
                        const item = { type: "message", role: "user", content };
                        realtime.send({ type: "conversation.item.create", item });
                        realtime.send({ type: "response.create", response: { output_modalities: ["text"] } });
                    });
                });
            }""",
            calling.url,
        )
        assert "The tool says nothing" in said


async def test_the_ai_sdks_realtime_session_in_chromium(calling: Server, origin: str) -> None:
    async with client_page(origin) as page:
        await page.evaluate(
            """async (url) => {
                const { experimental_realtime } = createOpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
                const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
                const sessionConfig = {
                    instructions: "Be brief.", voice: "alloy", outputModalities: ["audio"],
                    inputAudioFormat: { type: "audio/pcm", rate: 24000 }, inputAudioTranscription: {},
                    turnDetection: { type: "server-vad", silenceDurationMs: 600 },
                    tools: [{ type: "function", name: "weather", description: "The weather.", parameters }] };
                const named = { model: "gpt-realtime", api: "realtime" };
                const { token } = await experimental_realtime.getToken({ ...named, sessionConfig });
                globalThis.asked = [];
                globalThis.kinds = [];
                globalThis.failures = [];
                globalThis.chat = new AiRealtimeSession({
                    model: experimental_realtime("gpt-realtime", { api: "realtime" }), sessionConfig,
                    // By itself it knows nothing but TLS.
                    api: { websocket: `${url.replace("http", "ws")}/v1/realtime?model=gpt-realtime`,
                        protocols: ["realtime", `openai-insecure-api-key.${token}`] },
                    onToolCall: ({ toolCall }) => { asked.push(toolCall.args.city); return "it is 21 degrees"; },
                    onEvent: (event) => kinds.push(event.type), onError: (error) => failures.push(String(error)) });
                await chat.connect();
                chat.startAudioCapture(await navigator.mediaDevices.getUserMedia({ audio: true }));
            }""",
            calling.url,
        )
        await so(page, "kinds.includes('session-updated')")
        await page.evaluate("say", clip("question"))
        await so(page, "asked.length > 0 && chat.state.isPlaying")
        assert await page.evaluate("asked") == ["Paris"]
        told = "chat.state.messages.map((message) => JSON.stringify(message.parts)).join()"
        await so(page, f"/how are you today/i.test({told}) && /tool says .*it is 21 degrees/.test({told})")
        await page.evaluate("say", clip("interruption"))
        await so(page, "kinds.filter((kind) => kind === 'speech-started').length > 1 && !chat.state.isPlaying")
        await so(page, "kinds.filter((kind) => kind === 'input-transcription-completed').length > 1")
        assert await page.evaluate("failures") == []
        assert "custom" not in await page.evaluate("kinds.filter((kind) => kind.startsWith('error'))")
        await page.evaluate("chat.disconnect()")
        await until(lambda: not calling.registry.active)


async def test_pipecats_client_in_chromium(calling: Server, origin: str) -> None:
    async with client_page(origin) as page:
        await page.evaluate(
            """async (url) => {
                globalThis.seen = [];
                const note = (kind) => (data) => seen.push({ kind, data });
                const transport = new SmallWebRTCTransport({ mediaManager: new WavMediaManager() });
                const callbacks = { onBotReady: note("ready"), onUserStartedSpeaking: note("user started"),
                    onUserTranscript: note("transcript"), onBotStartedSpeaking: note("bot started"),
                    onBotStoppedSpeaking: note("bot stopped"), onBotOutput: note("output"),
                    onLLMFunctionCallInProgress: note("function"), onError: note("error"), onMetrics: note("metrics"),
                    onMessageError: note("error"),
                    onTrackStarted: (track) => { if (track.kind === "audio") listen(new MediaStream([track])); } };
                globalThis.client = new PipecatClient({ transport, enableMic: true, enableCam: false, callbacks });
                client.registerFunctionCallHandler("weather", async () => "it is 21 degrees");
                const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
                const tools = [{ type: "function", name: "weather", description: "The weather.", parameters }];
                const request = { endpoint: `${url}/api/offer`, requestData: { session: { tools } } };
                await client.connect({ webrtcRequestParams: request });
            }""",
            calling.url,
        )
        assert (await page.evaluate("seen[0].data.version")).startswith("2.")
        await page.evaluate("say", clip("question"))
        await so(
            page, "seen.some(s => s.kind === 'transcript' && s.data.final && /how are you today/i.test(s.data.text))"
        )
        await so(page, "seen.some(s => s.kind === 'function' && s.data.arguments.city === 'Paris')")
        await so(page, "seen.some(s => s.kind === 'output' && /tool says it is 21 degrees/i.test(s.data.text))")
        await so(page, "seen.some(s => s.kind === 'bot started') && heard.loudest > 0.05")
        await page.evaluate("say", clip("interruption"))
        await so(page, "seen.some(s => s.kind === 'bot stopped')")
        await so(page, "seen.filter(s => s.kind === 'transcript' && s.data.final).length > 1")
        await so(page, "seen.findLast(s => s.kind.startsWith('bot st')).kind === 'bot started'")
        spoken = await page.evaluate("seen.filter(s => s.kind === 'bot started').length")
        await page.evaluate("client.sendDTMF('42#')")
        await so(page, f"seen.filter(s => s.kind === 'bot started').length > {spoken}")
        assert await page.evaluate("seen.filter(s => s.kind === 'error')") == []
        await page.evaluate("client.disconnect()")
        await until(lambda: not calling.registry.active)


async def test_a_whip_client_in_chromium_restarts_its_ice_and_goes_on(calling: Server, origin: str) -> None:
    async with client_page(origin) as page:
        await page.evaluate(
            """async (url) => {
                const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
                globalThis.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
                pc.ontrack = (event) => listen(event.streams[0]);
                for (const track of stream.getTracks()) pc.addTrack(track, stream);
                globalThis.whip = new WHIPClient();
                await whip.publish(pc, `${url}/whip?user_id=whip`, "none");
            }""",
            calling.url,
        )
        await so(page, "pc.connectionState === 'connected'")
        tag = await page.evaluate("whip.etag")
        await page.evaluate("whip.restart()")
        await so(page, "pc.iceConnectionState === 'connected' || pc.iceConnectionState === 'completed'")
        assert await page.evaluate("whip.etag") not in (None, tag)
        await page.evaluate("say", clip("question"))
        await so(page, "heard.loudest > 0.05")
        await page.evaluate("whip.stop()")
        await until(lambda: not calling.registry.active)


# In Node -------------------------------------------------------------------------------------------------------------

SPEAKS = """
    const fs = await import('node:fs');
    const until = async (what) => { while (!what()) await new Promise((done) => setTimeout(done, 20)); };
    const speak = async (name, append) => {
        const pcm = fs.readFileSync(clips[name]);
        for (let at = 0; at < pcm.length; at += 4800) {
            append(pcm.subarray(at, at + 4800));
            await new Promise((done) => setTimeout(done, 100));
        }
    };
    let silent = null;
    const hush = (append) => { silent = setInterval(() => append(Buffer.alloc(4800)), 100); };
    const talk = async (name, append) => { clearInterval(silent); await speak(name, append); hush(append); };
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Recordings as PCM16 at 24 kHz, by name."""
    folder, made = tmp_path_factory.mktemp("clips"), {}
    for name in ("question", "interruption"):
        (folder / name).write_bytes(sound(CLIPS / f"{name}.wav").tobytes())
        made[name] = str(folder / name)
    return made


async def test_agents_realtime_over_a_websocket_in_node(calling: Server, clips: dict[str, str], tmp_path: Path) -> None:
    told = await in_node(
        tmp_path,
        """
        import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
        import { z } from 'zod';
        """
        + SPEAKS
        + """
        const cities = [], kinds = [], errors = [];
        let audio = 0, interrupted = 0;
        const weather = tool({ name: 'weather', description: 'The weather of a city, now.',
            parameters: z.object({ city: z.string() }),
            execute: async ({ city }) => { cities.push(city); return 'it is 21 degrees'; } });
        const agent = new RealtimeAgent({ name: 'Test', instructions: 'Be brief.', tools: [weather] });
        const transport = new OpenAIRealtimeWebSocket({ url: `${url}/v1/realtime?model=x` });
        const session = new RealtimeSession(agent, { transport });
        session.on('audio', (event) => { audio += event.data.byteLength; });
        session.on('audio_interrupted', () => { interrupted += 1; });
        session.on('error', (error) => errors.push(String(error.error?.message ?? error)));
        session.transport.on('*', (event) => kinds.push(event.type));
        await session.connect({ apiKey: 'none' });
        const append = (pcm) => session.sendAudio(pcm.buffer.slice(pcm.byteOffset, pcm.byteOffset + pcm.byteLength));
        await talk('question', append);
        await until(() => cities.length > 0 && audio > 24000);
        await talk('interruption', append);
        await until(() => interrupted > 0);
        const words = JSON.stringify(session.history);
        session.close();
        return { cities, errors, words, kinds: [...new Set(kinds)] };
        """,
        url=calling.url.replace("http", "ws"),
        clips=clips,
    )
    assert told["cities"] == ["Paris"]
    assert told["errors"] == []
    assert HEARD in told["words"]


async def test_openai_node_over_a_websocket(calling: Server, clips: dict[str, str], tmp_path: Path) -> None:
    told = await in_node(
        tmp_path,
        """
        import OpenAI from 'openai';
        import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
        import { WebSocket } from 'ws';
        """
        + SPEAKS
        + """
        globalThis.WebSocket ??= WebSocket;
        const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' });
        // It knows nothing but TLS by itself.
        const onURL = (address) => { address.protocol = 'ws:'; };
        const realtime = new OpenAIRealtimeWebSocket({ model: 'x', onURL }, client);
        const events = [];
        let audio = 0, said = '';
        realtime.on('event', (event) => events.push(event));
        realtime.on('response.output_audio.delta', (event) => { audio += event.delta.length; });
        realtime.on('response.output_audio_transcript.delta', (event) => { said += event.delta; });
        realtime.on('error', () => {});
        const saw = (kind) => events.find((event) => event.type === kind);
        await until(() => saw('session.created'));
        const parameters = { type: 'object', properties: { city: { type: 'string' } } };
        const tools = [{ type: 'function', name: 'weather', description: 'The weather.', parameters }];
        realtime.send({ type: 'session.update', session: { type: 'realtime', tools } });
        await until(() => saw('session.updated'));
        const append = (pcm) => realtime.send({ type: 'input_audio_buffer.append', audio: pcm.toString('base64') });
        await talk('question', append);
        await until(() => saw('response.done'));
        const [call] = saw('response.done').response.output;
        const item = { type: 'function_call_output', call_id: call.call_id, output: 'it is 21 degrees' };
        realtime.send({ type: 'conversation.item.create', item });
        realtime.send({ type: 'response.create' });
        await until(() => audio > 32000 && /degrees/.test(said));
        await talk('interruption', append);
        const dones = () => events.filter((event) => event.type === 'response.done');
        await until(() => dones().length > 1);
        realtime.close();
        clearInterval(silent);
        const transcript = saw('conversation.item.input_audio_transcription.completed').transcript;
        const errors = events.filter((event) => event.type === 'error');
        return { call, said, transcript, errors, status: dones()[1].response.status };
        """,
        url=calling.url,
        clips=clips,
    )
    assert (told["call"]["name"], told["call"]["arguments"]) == ("weather", ARGUMENTS)
    assert told["transcript"] == HEARD
    assert "The tool says it is 21 degrees" in told["said"]
    assert (told["status"], told["errors"]) == ("cancelled", [])
