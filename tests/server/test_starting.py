"""A server that fails in the middle of starting has closed what it had opened; one that stops closes all of it."""

import gc
import inspect
import pkgutil
import socket
from pathlib import Path
from typing import Any

import pytest

from server.app import Server
from server.http.server import OLDER_COLLECTED_AFTER, settled_memory
from server.observability.load_sampler import LoadSampler
from server.settings import Settings
from tests.server.scripted import scripted_engines
from tests.serving import free_port


class BrokenError(Exception):
    """What is injected."""


SEAMS = [
    "server.app.cached_speech",
    "server.app.MediaEndpoint.open",
    "server.app.build_access",
    "server.app.CallRegistry",
    "server.app.build_app",
    "server.app.open_doors",
    "server.app.AudioSocketDoor",
    "server.webhooks.webhooks.Webhooks.open",
    "server.memory.door.MemoryDoor.open",
    "server.app._warm_up",
    "server.app.AudioSocketDoor.open",
    "server.memory.door.MemoryDoor.announce",
    "server.app.LoadSampler",
]
"""Steps of the start, in order."""


def settings_of(folder: Path) -> Settings:
    given: dict[str, Any] = {
        "memory": "off",
        "max_calls": 2,
        "port": free_port(),
        "media_port": free_port(),
        "audio_socket_port": free_port(),
        "data_dir": folder,
    }
    return Settings(**given)


def check_ports_free(settings: Settings) -> None:
    """Each port of a server can be bound again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind((settings.media_address or "0.0.0.0", settings.media_port))
    for port in (settings.port, settings.audio_socket_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen()


@pytest.mark.parametrize("seam", SEAMS)
async def test_a_start_that_fails_leaves_nothing_open(
    seam: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path)

    def broken(*_: Any, **__: Any) -> Any:
        raise BrokenError(seam)

    async def broken_later(*_: Any, **__: Any) -> Any:
        raise BrokenError(seam)

    later = inspect.iscoroutinefunction(pkgutil.resolve_name(seam))
    monkeypatch.setattr(seam, broken_later if later else broken)
    with pytest.raises(BrokenError):
        await Server.start(settings, scripted_engines())
    check_ports_free(settings)


async def test_a_server_can_be_started_again_where_one_has_stopped(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for _ in range(2):
        server = await Server.start(settings, scripted_engines())
        await server.stop()
        check_ports_free(settings)


async def test_what_does_not_close_keeps_nothing_else_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path)
    close = LoadSampler.close

    async def broken(sampler: LoadSampler) -> None:
        await close(sampler)
        raise BrokenError

    monkeypatch.setattr(LoadSampler, "close", broken)
    server = await Server.start(settings, scripted_engines())
    with pytest.raises(BrokenError):
        await server.stop()
    check_ports_free(settings)


def test_collections_of_all_objects_are_rarer_once_a_server_stands_and_no_rarer_with_the_next_one() -> None:
    before = gc.get_threshold()
    try:
        settled_memory()
        once = gc.get_threshold()
        settled_memory()
        assert gc.get_threshold() == once == (*before[:2], OLDER_COLLECTED_AFTER)
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
