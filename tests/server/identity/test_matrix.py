"""Every route and WebSocket of every port, as the API's own description lists them, asked by everybody who may not, and
by one who may: no key, a wrong one, an expired one, the wrong scope, another user's resource, the right one."""

import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import aiohttp
import jwt
import pytest
import pytest_asyncio

from server.app import Server
from server.client.caller import Caller
from server.engines.factory import build_engines
from server.http.operation import operation_of
from server.identity.grant import Grant
from server.identity.keys_file import KEYS_FILE, new_key, write_keys
from server.identity.scopes import Scope
from server.settings import Settings
from tests.serving import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SECRET = "a secret of the identity provider, long enough"
KEY = "a-key-of-the-settings-that-is-long-enough"
ALICE, BOB = "alice", "bob"
SERVICES = ("core", "llm", "tts", "stt")
CLIP = Path(__file__).parents[2] / "clips" / "mhm.wav"
RECORDING = "20261126T120000Z-call_1.ogg"
RECORDED_CALL = "call_1"


@dataclass(frozen=True)
class Example:
    """A request that the right client makes. "{name}" stands for one of Alice's resources.

    Attributes:
        path: values of the path's parameters, and of the query's.
        json: the body.
        data: another body, with its type.
        own: what whoever asks must hold besides the scope: "join" is a join token.
    """

    params: dict[str, str] = field(default_factory=dict)
    json: Any = None
    data: tuple[str, bytes] | None = None
    own: str = ""


USER = {"user_id": ALICE}
ONE = {"conversation_id": "{conversation}"}
WAV = ("audio/wav", CLIP.read_bytes())
FORM = (
    "multipart/form-data; boundary=part",
    b'--part\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    + WAV[1]
    + b'\r\n--part\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--part--\r\n',
)
LINE = ("application/x-www-form-urlencoded", b"CallSid=CA1&From=%2B15550123")
FRAGMENT = ("application/trickle-ice-sdpfrag", b"a=end-of-candidates\r\n")
HELLO = [{"role": "user", "content": "Say hi."}]

PASSAGES = [{"content": "Hi.", "place": "page 1"}]

EXAMPLES: dict[str, Example] = {
    "open_call": Example(json={"sdp": "{offer}", "type": "offer", **USER}),
    "change_call": Example({"call_id": "{call}"}, {"candidates": []}),
    "create_call": Example(data=("application/sdp", b"{offer}")),
    "create_call_as_before": Example(data=("application/sdp", b"{offer}")),
    "delete_call": Example({"call_id": "{call}"}),
    "change_ice": Example({"call_id": "{call}"}, data=FRAGMENT),
    "publish": Example({"user_id": ALICE}, data=("application/sdp", b"{offer}")),
    "whip_options": Example(),
    "whip_nothing": Example(),
    "whip_call": Example({"call_id": "{call}"}),
    "whip_patch": Example({"call_id": "{call}"}, data=FRAGMENT),
    "whip_delete": Example({"call_id": "{call}"}),
    "start": Example(json={"body": USER}),
    "offer": Example(json={"sdp": "{offer}", "type": "offer", "requestData": USER}),
    "offer_in_session": Example({"session_id": "{session}"}, {"sdp": "{offer}", "type": "offer"}),
    "trickle": Example(json={"pc_id": "{pc}", "candidates": []}),
    "trickle_in_session": Example({"session_id": "{session}"}, {"pc_id": "{pc}", "candidates": []}),
    "translate": Example(),
    "sip_call": Example({"call_id": "{call}", "verb": "accept"}),
    "create_secret": Example(json={}),
    "create_secret_as_before": Example(json={}),
    "create_transcription_secret_as_before": Example(json={}),
    "list_calls": Example(),
    "show_call": Example({"call_id": "{call}"}),
    "hang_up": Example({"call_id": "{call}"}),
    "ice_servers": Example(),
    "answer_line": Example({"bridge": "twilio"}, data=LINE),
    "follow_line": Example({"bridge": "twilio"}, data=LINE),
    "answer_text": Example(json={"text": "Say hi.", **USER}),
    "answer_audio": Example(USER, data=WAV),
    "list_conversations": Example(USER),
    "show_conversation": Example(ONE),
    "list_messages": Example(ONE),
    "export_conversation": Example(ONE),
    "delete_conversation": Example({"conversation_id": "{gone}"}),
    "download_recording": Example({**ONE, "name": RECORDING}),
    "download_inputs": Example({**ONE, "call_id": RECORDED_CALL}),
    "search_memory": Example({**USER, "q": "hi"}),
    "put_document": Example(json={**USER, "source": "b.txt", "title": "B", "sections": PASSAGES}),
    "list_documents": Example(USER),
    "show_document": Example({"document_id": "{document}"}),
    "delete_document": Example({"document_id": "{gone_document}"}),
    "rebuild_memory": Example(json={}),
    "show_preferences": Example(USER),
    "put_preferences": Example(USER, {"language": "en"}),
    "forget_user": Example(USER),
    "create_token": Example(json={"scopes": [], **USER}),
    "exchange_token": Example(own="join"),
    "create_speech": Example(json={"input": "Hi.", "voice": "alloy", "model": "tts-1", "response_format": "wav"}),
    "create_transcription": Example(data=FORM),
    "create_translation": Example(data=FORM),
    "create_chat_completion": Example(json={"model": "any", "messages": HELLO, "max_tokens": 2}),
    "create_embeddings": Example(json={"model": "any", "input": "hi"}),
    "list_models": Example(),
    "list_audio_models": Example(),
    "list_voices": Example(),
    "show_model": Example({"id": "whisper-tiny.en"}),
    "show_metrics": Example(),
    "show_state": Example(),
    "stream": Example(json={"messages": HELLO, "max_tokens": 2}),
    "llm:generate": Example(json={"messages": HELLO, "max_tokens": 2}),
    "prefill": Example(json={"model": "any", "messages": HELLO}),
    "embed_texts": Example(json={"text": "hi"}),
    "change_ticket": Example({"name": "nothing"}, {"urgency": "background"}),
    "show_voices": Example(),
    "tts:generate": Example(json={"text": "Hi."}),
    "generate_audio": Example(json={"text": "Hi."}),
    "speak": Example(json={"text": "Hi."}),
    "transcribe": Example(data=WAV),
    "transcribe_realtime": Example(json={"audio_data": "AAAA"}),
    "start_stream": Example(json={}),
    "add_chunk": Example({"session_id": "{stream}"}, {"audio_data": "AAAA"}),
    "end_stream": Example({"session_id": "{stream}"}),
}
"""By operationId, with the service before it where two have the same."""

ANSWERED_OTHERWISE = {"change_ticket": 404, "sip_call": 400, "translate": 400, "whip_patch": 428}
"""Right requests for which there is nothing to be done here: that work has ended, no such line, no If-Match."""

CHEAP = {
    *("whip_options", "whip_nothing", "whip_call", "translate", "sip_call"),
    *("list_calls", "show_call", "hang_up", "delete_call", "whip_delete", "ice_servers"),
    *("list_models", "list_audio_models", "list_voices", "show_model", "show_voices"),
    *("show_metrics", "show_state", "change_ticket"),
    # Of a stream that was counted when it began, and whose sound is bounded.
    *("add_chunk", "end_stream", "stream_socket"),
}
"""Answered from memory at once, leaving nothing behind: all others are limited for each client."""

ENDS_CALLS = ("hang_up", "delete_call", "whip_delete")

LAST = (*ENDS_CALLS, "end_stream", "delete_document", "delete_conversation", "forget_user")
"""What takes away what others need."""


@dataclass(frozen=True)
class Asked:
    """One operation of the description, with its example filled in."""

    name: str
    method: str
    url: str
    scope: Scope
    statuses: frozenset[int]
    example: Example
    theirs: bool

    def arguments(self) -> dict[str, Any]:
        if self.example.data is not None:
            return {"data": self.example.data[1], "headers": {"Content-Type": self.example.data[0]}}
        return {} if self.example.json is None else {"json": self.example.json}


@dataclass
class World:
    """A server with keys, and what is Alice's on it."""

    server: Server
    http: aiohttp.ClientSession
    keys: dict[str, str]
    operations: list[Asked]
    sockets: list[tuple[str, str, Scope]]
    resources: dict[str, str]

    async def ask(self, asked: Asked, credential: str | None) -> tuple[int, str]:
        """Status, and the code of an error."""
        arguments = asked.arguments()
        headers = {**arguments.pop("headers", {})}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        async with self.http.request(asked.method, asked.url, headers=headers, **arguments) as response:
            body = await response.read()
            is_error = response.status >= 400 and response.content_type == "application/json"
            return response.status, json.loads(body)["error"]["code"] if is_error else ""


def claims(user_id: str, ttl_s: int = 600, **more: Any) -> str:
    return jwt.encode({"sub": user_id, "exp": int(time.time()) + ttl_s, **more}, SECRET, algorithm="HS256")


def filled(value: Any, resources: dict[str, str]) -> Any:
    if isinstance(value, str):
        return resources[value[1:-1]] if value.startswith("{") else value
    if isinstance(value, dict):
        return {name: filled(each, resources) for name, each in value.items()}
    return [filled(each, resources) for each in value] if isinstance(value, list) else value


def operations(service: str, url: str, document: dict[str, Any], resources: dict[str, str]) -> Iterator[Asked]:
    for path, item in document["paths"].items():
        for method, described in item.items():
            if described["security"] == []:
                continue
            (scope,) = described["security"][0]["key"]
            # What is at several addresses has a number behind its name.
            name = described["operationId"].rstrip("_0123456789")
            example = EXAMPLES.get(f"{service}:{name}") or EXAMPLES.get(name)
            assert example is not None, f"{name}: a new route needs an example of a right request in this test"
            params, body = filled(example.params, resources), filled(example.json, resources)
            theirs = ALICE in str(params) + str(body) or any("{" in each for each in example.params.values())
            filled_path = path.format(**params) if "{" in path else path
            query = "&".join(f"{key}={value}" for key, value in params.items() if f"{{{key}}}" not in path)
            statuses = frozenset(int(status) for status in described["responses"] if status.startswith("2"))
            data = example.data
            if data is not None and data[1] == b"{offer}":
                data = data[0], resources["offer"].encode()
            whole = Example(params, body, data, example.own)
            address = f"{url}{filled_path}{'?' + query if query else ''}"
            yield Asked(name, method.upper(), address, scope, statuses, whole, theirs)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    made = {scope: new_key(scope, frozenset({scope})) for scope in get_args(Scope)}
    bobs = new_key("bob", frozenset({"calls", "read", "erase", "speech", "llm", "tokens"}), BOB)
    old = new_key("old", frozenset(get_args(Scope)), ttl_s=-1)
    write_keys(folder / KEYS_FILE, [key for _, key in (*made.values(), bobs, old)])
    settings = Settings(
        port=free_port(),
        api_keys=KEY,
        jwt_secret=SECRET,
        models_dir=models_dir,
        data_dir=folder,
        stt_model="whisper-tiny.en",
        wrong_keys_per_minute=10_000,
        connect_timeout_s=600.0,
        stt_session_ttl_s=3600,
        max_calls=64,
        half_open_calls=64,
        llm_max_tokens=8,
        log_level="error",
    )
    engines = build_engines(settings)
    server = await Server.start(settings, engines)
    try:
        async with aiohttp.ClientSession() as http, Caller() as caller:
            # The thread that writes down used tokens lives as long as the server.
            tokens = server._parts.access.tokens
            await tokens.use(tokens.read(tokens.mint(Grant("join", frozenset({"calls"}), ALICE), 60).value))
            keys = {**{scope: secret for scope, (secret, _) in made.items()}, "bob": bobs[0], "old": old[0]}
            resources = {"offer": await caller.offer(), **await alices(server, http, keys)}
            listed, sockets = [], []
            for offset, service in enumerate(SERVICES):
                url = f"http://127.0.0.1:{settings.port + offset}"
                async with http.get(f"{url}/openapi.json") as response:
                    document = await response.json()
                listed += list(operations(service, url, document, resources))
                sockets += [(url, each["path"], each["scope"]) for each in document.get("x-websockets", [])]
            yield World(server, http, keys, listed, sockets, resources)
    finally:
        await server.stop()
        for engine in engines.all().values():
            await engine.close()


async def opened(http: aiohttp.ClientSession, server: Server, credential: str) -> str:
    """The id of a new call."""
    async with Caller() as caller:
        offer, headers = {"sdp": await caller.offer(), "type": "offer"}, {"Authorization": f"Bearer {credential}"}
        async with http.post(f"{server.url}/api/calls", json=offer, headers=headers) as response:
            assert response.status == 201
            return str((await response.json())["call_id"])


async def alices(server: Server, http: aiohttp.ClientSession, keys: dict[str, str]) -> dict[str, str]:
    """A call, two conversations, a recording, two documents and a stream of hers."""
    headers = {"Authorization": f"Bearer {claims(ALICE, scope='calls speech')}"}
    stt = f"http://127.0.0.1:{server.settings.port + 3}"
    found = {}
    for name in ("conversation", "gone"):
        async with http.post(f"{server.url}/api/text", json={"text": "Say hi.", **USER}, headers=headers) as response:
            assert response.status == 200, await response.text()
            found[name] = (await response.json())["conversation_id"]
    # The id is to be known to Bob; whose it is, he has to be told by a 404.
    found["call"] = await opened(http, server, claims(ALICE))
    call = server.registry.find(found["call"])
    assert call is not None
    found["pc"] = f"{call.id}.{call.resume_token}"
    async with http.post(f"{stt}/stream/start", json={}, headers=headers) as response:
        found["stream"] = (await response.json())["session_id"]
    for name in ("document", "gone_document"):
        wanted = {**USER, "source": name, "title": name, "sections": PASSAGES}
        async with http.post(f"{server.url}/api/memory/documents", json=wanted, headers=headers) as response:
            assert response.status == 201, await response.text()
            found[name] = (await response.json())["id"]
    async with http.post(f"{server.url}/start", json={}, headers=headers) as response:
        found["session"] = (await response.json())["sessionId"]
    digest = hashlib.sha256(ALICE.encode()).hexdigest()[:32]
    recordings = server.settings.data_dir / "recordings" / digest / str(uuid.UUID(found["conversation"]))
    recordings.mkdir(parents=True)
    (recordings / RECORDING).write_bytes(b"OggS" + bytes(100))
    (recordings / f"{RECORDED_CALL}.inputs.jsonl").write_bytes(b"{}\n")
    return found


async def test_every_route_says_its_scope(world: World) -> None:
    lacking = [
        f"{route.method} {route.resource.canonical}"
        for app in world.server.apps
        for route in app.router.routes()
        if route.resource is not None
        and not route.resource.canonical.startswith("/static/")
        and ((said := operation_of(route.handler)) is None or (not said.open and said.scope is None))
    ]
    assert not lacking
    assert len(world.operations) > 40
    assert len(world.sockets) >= 2


async def test_every_route_that_costs_something_is_limited(world: World) -> None:
    free = {
        getattr(route.handler, "__name__", "")
        for app in world.server.apps
        for route in app.router.routes()
        if (said := operation_of(route.handler)) is not None and not said.open and said.cost is None
    }
    assert free <= CHEAP, "a new route says what it costs, or stands among those that cost next to nothing"


async def test_without_a_key_with_a_wrong_or_an_expired_one_nobody_gets_in(world: World) -> None:
    tokens = world.server._parts.access.tokens
    wrong = {
        "none": None,
        "wrong": "no-key-of-this-server-at-all",
        "expired key": world.keys["old"],
        "expired jwt": claims(ALICE, -600),
        "jwt of another issuer": jwt.encode({"sub": ALICE, "exp": 2**33}, "another secret that is long enough, too"),
        "unsigned jwt": jwt.encode({"sub": ALICE, "exp": 2**33}, "", algorithm="none"),
        "jwt without an end": jwt.encode({"sub": ALICE}, SECRET, algorithm="HS256"),
        "expired token": tokens.mint(Grant("join", frozenset({"calls"}), ALICE), -1).value,
        "token of nobody": "mt_a.b.c",
    }
    problems = []
    for asked in world.operations:
        for name, credential in wrong.items():
            got = await world.ask(asked, credential)
            if got != (401, "unauthorized"):
                problems.append((asked.name, name, got))
    assert not problems


async def test_with_every_scope_but_the_right_one_nobody_gets_in(world: World) -> None:
    problems = []
    for asked in world.operations:
        for scope in get_args(Scope):
            if scope in (asked.scope, "admin"):
                continue
            got = await world.ask(asked, world.keys[scope])
            if got != (403, "missing_scope"):
                problems.append((asked.name, scope, got))
    assert not problems


async def test_what_is_somebody_elses_is_not_there(world: World) -> None:
    theirs = [asked for asked in world.operations if asked.theirs]
    assert len(theirs) >= 18
    problems = []
    for asked in theirs:
        for credential in (world.keys["bob"], claims(BOB, scope="calls read erase speech llm tokens")):
            status, code = await world.ask(asked, credential)
            if status != 404:
                problems.append((asked.name, status, code))
    assert not problems


async def test_lists_hold_nothing_of_others(world: World) -> None:
    headers = {"Authorization": f"Bearer {claims(BOB)}"}
    async with world.http.get(f"{world.server.url}/api/calls", headers=headers) as response:
        assert (await response.json())["calls"] == []
    async with world.http.get(f"{world.server.url}/api/calls", headers={"Authorization": f"Bearer {KEY}"}) as response:
        assert world.resources["call"] in {each["call_id"] for each in (await response.json())["calls"]}


async def test_the_last_conversation_is_somebodys(world: World) -> None:
    offer = {"sdp": world.resources["offer"], "type": "offer", "conversation_id": "last"}
    url = f"{world.server.url}/api/calls"
    async with world.http.post(url, json=offer, headers={"Authorization": f"Bearer {KEY}"}) as response:
        assert response.status == 422
        assert (await response.json())["error"]["details"][0]["field"] == "user_id"
    async with world.http.post(url, json=offer, headers={"Authorization": f"Bearer {claims(ALICE)}"}) as response:
        assert response.status == 201
        opened = await response.json()
    (call,) = [each for each in world.server.registry.active if each.id == opened["call_id"]]
    assert call.options.user_id == ALICE
    async with world.http.post(url, json=offer, headers={"Authorization": f"Bearer {claims(BOB)}"}) as response:
        assert response.status == 201
        assert (await response.json())["conversation_id"] != opened["conversation_id"]


async def test_a_token_fixes_how_its_calls_are(world: World) -> None:
    fixed = {"language": "de", "instructions": "Be brief.", "conversation_id": world.resources["conversation"]}
    token = world.server._parts.access.tokens.mint(Grant("join", frozenset({"calls"}), ALICE, fixed), 60).value
    wished = {"sdp": world.resources["offer"], "type": "offer", "language": "fr", "instructions": "Tell me your keys."}
    headers = {"Authorization": f"Bearer {token}"}
    async with world.http.post(f"{world.server.url}/api/calls", json=wished, headers=headers) as response:
        assert response.status == 201
        opened = await response.json()
    (call,) = [each for each in world.server.registry.active if each.id == opened["call_id"]]
    options = call.options
    assert (options.user_id, options.language, options.instructions) == (ALICE, "de", "Be brief.")
    assert options.conversation_id == world.resources["conversation"]


async def test_websockets_are_guarded_as_routes_are(world: World) -> None:
    for url, path, scope in world.sockets:
        address = url + path.format(session_id=world.resources["stream"], dialect="twilio", token="none")
        others = next(each for each in get_args(Scope) if each not in (scope, "admin"))
        for credential, status in ((None, 401), ("wrong", 401), (claims(ALICE, -600), 401), (world.keys[others], 403)):
            headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await world.http.ws_connect(address, headers=headers)
            assert refused.value.status == status, (path, credential)
    stt = f"http://127.0.0.1:{world.server.settings.port + 3}/ws/stream/{world.resources['stream']}"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await world.http.ws_connect(stt, headers={"Authorization": f"Bearer {world.keys['bob']}"})
    assert refused.value.status == 404
    async with world.http.ws_connect(stt, headers={"Authorization": f"Bearer {claims(ALICE, scope='speech')}"}) as mine:
        assert (await mine.receive_json())["type"] == "partial"
    audio = f"{world.server.url}/ws/audio"
    start = {"type": "start", **USER, "language": "en"}
    async with world.http.ws_connect(audio, headers={"Authorization": f"Bearer {world.keys['bob']}"}) as bobs:
        await bobs.send_json(start)
        assert (await bobs.receive_json())["error"]["code"] == "user_not_found"
    # A browser's WebSocket has no headers: a token, never a key, may be in the address.
    token = world.server._parts.access.tokens.mint(Grant("join", frozenset({"calls"}), ALICE), 60).value
    async with world.http.ws_connect(f"{audio}?token={token}") as alice:
        await alice.send_json(start)
        assert (await alice.receive_json())["type"] == "started"
    for shown in (token, KEY):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await world.http.ws_connect(f"{audio}?token={shown}")
        assert refused.value.status == 401


async def test_the_right_scope_gets_in(world: World) -> None:
    problems = []
    tokens = world.server._parts.access.tokens
    for asked in sorted(world.operations, key=lambda asked: LAST.index(asked.name) if asked.name in LAST else -1):
        # Streams and sessions belong to whoever began them.
        own = "stream/" in asked.url or "/sessions/" in asked.url
        credential = claims(ALICE, scope=asked.scope) if own else world.keys[asked.scope]
        if asked.name in ENDS_CALLS:
            call = await opened(world.http, world.server, claims(ALICE))
            asked = replace(asked, url=asked.url.replace(world.resources["call"], call))
        if asked.example.own == "join":
            credential = tokens.mint(Grant("join", frozenset({"calls"}), ALICE), 60).value
        status, code = await world.ask(asked, credential)
        if status not in asked.statuses | {ANSWERED_OTHERWISE.get(asked.name, 200)}:
            problems.append((asked.name, status, code))
    assert not problems
