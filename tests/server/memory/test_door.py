"""A memory that cannot be opened at the start is opened as soon as it can be."""

import asyncio
import json
from pathlib import Path

import pytest

from persistence.data_dir import DataDir
from persistence.errors import StoreUnavailableError
from persistence.memory import Memory
from server.memory.door import ENVIRONMENT, MemoryDoor
from server.observability.metrics import Metrics
from server.settings import Settings
from tests.persistence.parts import until


async def test_it_is_opened_when_whoever_had_its_folder_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.memory.door.REOPEN_FIRST_S", 0.05)
    monkeypatch.setattr("server.memory.door.REOPEN_LONGEST_S", 0.05)
    other = DataDir(tmp_path)
    door = MemoryDoor(Settings(data_dir=tmp_path))
    await door.open()
    try:
        door.announce("http://here")
        door.sample(Metrics())
        with pytest.raises(StoreUnavailableError, match="no memory"):
            door.opened()
        await asyncio.sleep(0.2)
        assert door.memory is None
        other.release()
        await until(lambda: isinstance(door.memory, Memory))
        assert door.problem == ""
        written = tmp_path / "run" / ENVIRONMENT
        await until(written.exists)
        assert json.loads(written.read_text())["MORGAN_URL"] == "http://here"
        assert door._sampler is not None
    finally:
        await door.close()


async def test_what_cannot_be_written_down_once_it_is_open_does_not_open_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.memory.door.REOPEN_FIRST_S", 0.05)
    other, written = DataDir(tmp_path), []

    def write(path: Path, text: str) -> None:
        written.append(path.name)
        if len(written) == 1:
            raise OSError("no space left on device")

    monkeypatch.setattr("server.memory.door.write_private", write)
    door = MemoryDoor(Settings(data_dir=tmp_path))
    await door.open()
    try:
        door.announce("http://here")
        other.release()
        await until(lambda: len(written) == 2)
        assert isinstance(door.memory, Memory)
        assert door.problem == ""
    finally:
        await door.close()


async def test_a_server_that_stops_while_it_is_tried_leaves_nothing_open(tmp_path: Path) -> None:
    other = DataDir(tmp_path)
    door = MemoryDoor(Settings(data_dir=tmp_path))
    await door.open()
    other.release()
    await door.close()
    DataDir(tmp_path).release()
