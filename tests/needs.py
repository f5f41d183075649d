"""What a test needs besides Python packages, as markers that are set from the fixtures and helpers it uses.

`-m unit` runs the tests that need nothing of it, which is what `make unit` does on a bare clone. A test declares
nothing: a marker follows from a fixture anywhere in its closure (`FIXTURES`), from a helper that its module imports
(`HELPERS`; then all tests of the module carry it), or from what the test itself refers to, through its fixtures and the
helpers of `tests` (`USES` and `HELPERS`, seen by `tests.uses`; then that test alone carries it).
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType

import pytest

from tests.uses import used_by

MARKERS: Mapping[str, str] = {
    "models": "weights of models, which `morgan models pull` fetches",
    "audio": "recordings of real speech in shared/audio",
    "server": "a running `morgan serve`",
    "databases": "a PostgreSQL or Valkey, embedded or of the distribution",
    "browser": "Chromium or Firefox",
    "tools": "programs that Python packages do not bring: ffmpeg, node, psql, curl, coturn",
    "processes": "programs that it starts: Morgan's commands, decoders, pip, MCP servers; seconds each",
    "calls": "calls over WebRTC, WebSockets or telephone lines, which last as long as what is said in them",
    "gpu": "an NVIDIA GPU",
    "extras": "PyTorch or transformers, which `make dev` leaves out",
    "wall_clock": "asserts real time: one worker runs all of these, one after the other",
    "unit": "none of the above",
}
"""Every marker of this module and what a test that carries it needs."""

FIXTURES: Mapping[str, str] = {
    "models_dir": "models",
    "library_dir": "models",
    "shared_audio": "audio",
    "on_gpu": "gpu",  # of tests/gpu: weights and speech, beside a GPU
    "server": "server",
    "remembering": "databases",  # a server within the test, with PostgreSQL and Valkey of its own
    "wheel_folder": "processes",
    "_no_wheels": "processes",  # what the hub does not give, pip is asked for
    "servers": "databases",
    "debian_postgres": "databases",
    "debian_redis": "databases",
}
"""The marker that follows from a fixture, direct or through other fixtures."""

HELPERS: Mapping[str, str] = {
    "tests.pipeline.engines.speech.model": "models",
    "tests.pipeline.engines.speech.clip": "audio",
    "tests.debian": "databases",
    "tests.coturn": "tools",
    "tests.nginx": "tools",
    "tests.e2e.chromium": "browser",
    "tests.e2e.firefox": "browser",
    "tests.e2e.tabs": "browser",
    "tests.e2e.npm_clients": "tools",
    "tests.e2e.npm_clients.client_page": "browser",
    "tests.e2e.python_clients": "tools",
    "playwright.async_api": "browser",
    "pipeline.engines.llm.llama_builds.load_library": "models",
    "persistence.memory.Memory": "databases",
    "persistence.embedded.postgres": "databases",
    "persistence.embedded.valkey": "databases",
}
"""The marker that follows from a name in the test's module: a function or class, or anything of a helper module."""

USES: Mapping[str, str] = {
    "subprocess": "processes",
    "sys.executable": "processes",
    "asyncio.create_subprocess_exec": "processes",
    "bench.own_server.OwnServer": "processes",
    "media.decoder_pool.DecoderPool": "processes",
    "pipeline.models.wheels": "processes",
    "server.client.caller.Caller": "calls",
    "media.endpoint.MediaEndpoint": "calls",
    "tests.e2e.audio_socket_client": "calls",
    "tests.server.telephone.bridge": "calls",
    "tests.server.calls.test_last_words.assert_whole": "calls",  # sound is counted as it is sent
    "torch": "extras",
    "transformers": "extras",
}
"""The marker that follows from a name that a test refers to: a module, or a function or class by its dotted name."""

NAMES: Mapping[str, str] = {**USES, **HELPERS}

WALL_CLOCK = (
    "tests/media/test_audio_link.py",
    "tests/server/client/test_caller.py",
    "tests/media/test_chromium.py",
    "tests/media/test_endpoint.py",
    "tests/media/test_pacer.py",
    "tests/media/test_recording.py",
    "tests/media/test_restart.py",
    "tests/media/test_udp_port.py",
    "tests/pipeline/scheduling/test_cores.py",
    "tests/pipeline/scheduling/test_lanes.py",
    "tests/pipeline/text/test_linear.py",
)
"""Files whose tests assert real time. A table and not a marker in them: xdist's scheduler sees paths only."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Add the markers of `MARKERS` to collected tests."""
    for item in items:
        for name in set(needs_of(item)) or {"unit"}:
            item.add_marker(name)


def needs_of(item: pytest.Item) -> Iterator[str]:
    """The needs of a test, some of them more than once."""
    if item.nodeid.startswith(WALL_CLOCK):
        yield "wall_clock"
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in FIXTURES:
            yield FIXTURES[fixture]
    # A helper's function may be met in a fixture of a conftest, which the test's module does not import.
    yield from (NAMES[name] for name in used_by(item) & NAMES.keys())
    module = getattr(item, "module", None)
    if isinstance(module, ModuleType):
        yield from _needs_of_module(module)


@cache
def _needs_of_module(module: ModuleType) -> frozenset[str]:
    """What follows from the helpers that a module imports."""
    found = set()
    for value in vars(module).values():
        home = value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", ""))
        found |= {HELPERS[name] for name in (home, f"{home}.{getattr(value, '__name__', '')}") if name in HELPERS}
    return frozenset(found)
