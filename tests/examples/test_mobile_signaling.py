"""The signaling of the phone clients against a real Morgan: place, trickle, resume, begin anew, end, be refused.

What runs is, unchanged, examples/mobile/react-native/src/signaling.js and call.js under Node, and
examples/mobile/android's Signaling.kt and MorganCall.kt, compiled, on the JVM; aiortc stands in for the phone's WebRTC.
Nothing here compiles the clients in Swift and Dart (docs/mobile.md): they are parsed, and their requests compared with
these.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tree_sitter_dart
import tree_sitter_kotlin
import tree_sitter_swift
from tree_sitter import Language, Node, Parser

from server.client.caller import Caller
from tests.conftest import lacking
from tests.e2e.npm_clients import node, packages
from tests.server.scripted import scripted_server
from tests.serving import RunningServer

MOBILE = Path(__file__).parents[2] / "examples" / "mobile"
CLIENT = MOBILE / "react-native" / "src"
ANDROID = MOBILE / "android" / "app" / "src" / "main" / "java" / "org" / "morgan" / "call"
HARNESS = Path(__file__).parent / "mobile_signaling.mjs"
JVM_HARNESS = Path(__file__).parent / "kotlin"
ANDROID_JSON = Path("/usr/share/java/com.android.json.jar")
PATIENCE_S = 60.0

Told = dict[str, Any]


class Phone:
    """A client with aiortc as its WebRTC.

    Attributes:
        told: everything that the client did, in order.
        callers: its peer connections, in order.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: list[Told] = []
        self.callers: list[Caller] = []
        self._process = process
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = asyncio.create_task(self._listen())

    def act(self, what: str, value: str = "") -> None:
        """Have the client do something."""
        self._write({"act": what, "value": value})

    async def wait(self, wanted: Callable[[Told], object], count: int = 1) -> Told:
        """The `count`th thing told that is wanted."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: sum(map(bool, map(wanted, self.told))) >= count)
        return [each for each in self.told if wanted(each)][count - 1]

    def requests(self) -> list[tuple[str, str, int]]:
        """What travelled: method, path with {call} in place of its id, status."""
        return [
            (each["request"], re.sub(r"call_\w+", "{call}", each["path"]), each["status"])
            for each in self.told
            if "request" in each
        ]

    async def close(self) -> None:
        """End it all."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        for task in (self._listening, *self._tasks):
            task.cancel()
        await asyncio.gather(self._listening, *self._tasks, return_exceptions=True)
        for caller in self.callers:
            await caller.close()

    def _write(self, message: Told) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            async with self._news:
                self.told.append(told)
                self._news.notify_all()
            if "ask" in told:
                task = asyncio.create_task(self._do(told))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _do(self, asked: Told) -> None:
        number = asked["peer"]
        if asked["what"] == "offer":
            caller = Caller()
            await caller.__aenter__()
            self.callers.append(caller)
            sdp = await caller.offer()
            lines = sdp.splitlines(keepends=True)
            # The candidates come later, one by one, as on a phone.
            self._write({"answer": asked["ask"], "value": "".join(x for x in lines if not x.startswith("a=candidate"))})
            for line in lines:
                if line.startswith("a=candidate"):
                    candidate = {"candidate": line[2:].strip(), "sdpMid": "0", "sdpMLineIndex": 0}
                    self._write({"peer": number, "candidate": candidate})
            return
        caller = self.callers[number]
        self._write({"answer": asked["ask"], "value": None})
        await caller.accept(asked["value"], timeout=PATIENCE_S)
        self._write({"peer": number, "state": "connected"})
        await caller.channel_open(PATIENCE_S)
        self._write({"peer": number, "open": True})


def react_native() -> list[str]:
    """What runs that client: a command, for which a server, a token and a conversation are still to be named."""
    return [node(), str(HARNESS), str(CLIENT)]


@pytest.fixture(scope="module")
def android(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same of the Kotlin client, compiled; the libraries that no registry here has are in tests/examples/kotlin."""
    java = shutil.which("java")
    if java is None or not ANDROID_JSON.exists():
        lacking("A JVM or Android's JSON is not installed (Debian: default-jre-headless, libandroid-json-java).")
    jars = packages() / "node_modules" / "kotlin-compiler" / "lib"
    compiler = ("kotlin-compiler", "kotlin-stdlib", "kotlin-script-runtime", "kotlin-reflect", "annotations-13.0")
    coroutines = jars / "kotlinx-coroutines-core-jvm.jar"
    libraries = os.pathsep.join(map(str, (jars / "kotlin-stdlib.jar", coroutines, ANDROID_JSON)))
    classes = tmp_path_factory.mktemp("android")
    sources = [*JVM_HARNESS.glob("*.kt"), ANDROID / "Signaling.kt", ANDROID / "MorganCall.kt"]
    path = os.pathsep.join(str(jar) for jar in (*(jars / f"{name}.jar" for name in compiler), coroutines))
    command = [str(java), "-XX:TieredStopAtLevel=1", "-cp", path, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    options = ["-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "17", "-cp", libraries, "-d", str(classes)]
    done = subprocess.run([*command, *options, *map(str, sources)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [str(java), "-XX:TieredStopAtLevel=1", "-cp", f"{classes}{os.pathsep}{libraries}", "harness.HarnessKt"]


@pytest.fixture(params=["react_native", "android"])
def client_command(request: pytest.FixtureRequest) -> list[str]:
    """Each client that runs here."""
    command: list[str] = react_native() if request.param == "react_native" else request.getfixturevalue("android")
    return command


@asynccontextmanager
async def phone(command: list[str], server: str, token: str = "", conversation: str = "") -> AsyncIterator[Phone]:
    process = await asyncio.create_subprocess_exec(
        *command,
        server,
        token,
        conversation,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    client = Phone(process)
    try:
        yield client
    finally:
        await client.close()


def state(name: str) -> Callable[[Told], object]:
    return lambda told: told.get("state") == name


def request(method: str, **fields: object) -> Callable[[Told], object]:
    return lambda told: told.get("request") == method and all(told[name] == value for name, value in fields.items())


@pytest.mark.timeout(300)
async def test_a_phone_places_trickles_resumes_and_ends_a_call(
    server: RunningServer, client_command: list[str]
) -> None:
    async with aiohttp.ClientSession(server.url) as http:
        async with http.post("/api/tokens", json={"scopes": ["calls"], "user_id": "alice"}) as minted:
            token = (await minted.json())["token"]
        async with phone(client_command, server.url, token) as client:
            client.act("start")
            placed = await client.wait(state("connected"))
            trickled = await client.wait(lambda told: told.get("candidates"))
            assert (trickled["request"], trickled["status"]) == ("PATCH", 204)
            async with http.get(f"/api/calls/{placed['call']}") as shown:
                assert (await shown.json())["user_id"] == "alice", "a join token says who its holder is"
            client.act("networkChanged")
            resumed = await client.wait(request("PATCH", resumed=True))
            assert resumed["status"] == 200
            again = await client.wait(state("connected"), 2)
            assert (again["call"], again["conversation"]) == (placed["call"], placed["conversation"])
            assert await client.wait(lambda told: told.get("peer") == 0 and told.get("closed"))
            since = client.told.index(resumed)
            # Candidates still on their way when it hangs up would find the call gone.
            await client.wait(lambda told: told.get("candidates") and told in client.told[since + 1 :])
            client.act("end")
            await client.wait(request("DELETE", status=204))
            async with http.get("/api/calls") as listed:
                assert placed["call"] not in {call["call_id"] for call in (await listed.json())["calls"]}
        paths = [request for request in client.requests() if request[2] != 204 or request[0] == "DELETE"]
        assert paths == [
            ("POST", "/api/tokens/exchange", 201),
            ("GET", "/api/ice-servers", 200),
            ("POST", "/api/calls", 201),
            ("PATCH", "/api/calls/{call}", 200),
            ("DELETE", "/api/calls/{call}", 204),
        ]


@pytest.mark.timeout(300)
async def test_a_phone_begins_anew_where_the_server_has_lost_the_call(
    server: RunningServer, client_command: list[str]
) -> None:
    async with aiohttp.ClientSession(server.url) as http, phone(client_command, server.url) as client:
        client.act("start")
        placed = await client.wait(state("connected"))
        async with http.delete(f"/api/calls/{placed['call']}") as ended:
            assert ended.status == 204
        client.act("networkChanged")
        await client.wait(request("PATCH", status=404))
        again = await client.wait(state("connected"), 2)
        assert again["call"] != placed["call"]
        client.act("end")
        await client.wait(request("DELETE", status=204))


async def test_a_phone_goes_by_the_turn_servers_that_morgan_has(client_command: list[str], tmp_path: Path) -> None:
    url = "turn:turn.example.org:3478?transport=udp"
    turn = {"turn_urls": url, "turn_secret": "a-secret-shared-with-coturn"}
    async with scripted_server(tmp_path, **turn) as morgan, phone(client_command, morgan.url) as client:
        client.act("start")
        await client.wait(state("connected"))
        client.act("networkChanged")
        await client.wait(state("connected"), 2)
        for number in (1, 2):
            (server,) = (await client.wait(lambda told: "turn" in told, number))["turn"]
            assert server["urls"] == [url]
            assert server["username"]
            assert server["credential"]
        asked = [path for _, path, _ in client.requests() if path == "/api/ice-servers"]
        assert len(asked) == 1, "credentials that are still good are not asked for again"


async def test_a_phone_tells_a_refusal_and_ends(server: RunningServer, client_command: list[str]) -> None:
    async with phone(client_command, server.url, "mt_not.a.token") as client:
        client.act("start")
        refused = await client.wait(lambda told: told.get("ended"))
        assert (refused["ended"], refused["status"], refused["code"]) == ("failed", 401, "unauthorized")


@pytest.mark.unit
@pytest.mark.parametrize(
    "file",
    [
        "android/app/src/main/java/org/morgan/call/Signaling.kt",
        "ios/Morgan/Signaling.swift",
        "flutter/lib/signaling.dart",
    ],
)
def test_the_clients_that_cannot_run_here_make_the_same_requests(file: str) -> None:
    written = (MOBILE / file).read_text()
    reference = (CLIENT / "signaling.js").read_text()
    for word in ("/api/calls", "/api/tokens/exchange", "/api/ice-servers", "PATCH", "DELETE", "Retry-After", "mt_"):
        assert word in reference
        assert word in written, word
    for field in ("sdp", "offer", "user_id", "conversation_id", "resume_token", "candidates", "sdpMLineIndex"):
        assert field in reference
        assert re.search(rf'["\']?{field}["\']?', written), field


@pytest.mark.unit
@pytest.mark.parametrize(
    ("file", "given"),
    [
        ("react-native/src/App.js", r"makePeer\(iceServers\)[\s\S]*?new RTCPeerConnection\(\{ iceServers,"),
        ("ios/Morgan/MorganCall.swift", r"configuration\.iceServers = servers"),
        ("flutter/lib/call.dart", r"createPeerConnection\(\{'iceServers': servers,"),
    ],
)
def test_what_cannot_run_here_hands_the_turn_servers_on(file: str, given: str) -> None:
    assert re.search(given, (MOBILE / file).read_text())


def test_react_natives_app_can_be_bundled(tmp_path: Path) -> None:
    esbuild = str(packages() / "node_modules" / ".bin" / "esbuild")
    options = ["--bundle", "--packages=external", "--loader:.js=jsx", "--jsx=automatic", "--log-level=warning"]
    command = [esbuild, str(MOBILE / "react-native" / "index.js"), *options, f"--outfile={tmp_path}/app.js"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    bundled = (tmp_path / "app.js").read_text()
    assert "/api/tokens/exchange" in bundled
    wanted = set(re.findall(r'__require\("([^"]+)"\)', bundled)) - {"react/jsx-runtime"}
    named = json.loads((MOBILE / "react-native" / "package.json").read_text())["dependencies"]
    assert {"react-native-webrtc"} <= wanted <= set(named)


GRAMMARS = {
    ".kt": tree_sitter_kotlin,
    ".kts": tree_sitter_kotlin,
    ".swift": tree_sitter_swift,
    ".dart": tree_sitter_dart,
}
SOURCES = sorted(path for path in MOBILE.rglob("*") if path.suffix in GRAMMARS)


def syntax_errors(source: bytes, suffix: str) -> list[str]:
    """Where a grammar of the language finds something that does not belong there, or misses something."""

    def within(node: Node) -> list[str]:
        if node.is_error or node.is_missing:
            return [f"line {node.start_point[0] + 1}: {node.type} {node.text!r}"]
        return [each for child in node.children if child.has_error or child.is_missing for each in within(child)]

    return within(Parser(Language(GRAMMARS[suffix].language())).parse(source).root_node)


@pytest.mark.unit
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_sources_of_the_phone_clients_have_no_syntax_errors(path: Path) -> None:
    source = path.read_bytes()
    assert syntax_errors(source, path.suffix) == []
    brace = source.rindex(b"}")
    assert syntax_errors(source[:brace] + source[brace + 1 :], path.suffix)
