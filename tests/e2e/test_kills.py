"""A database killed in mid-call, then the server: `morgan bench kills`, once with each database."""

from pathlib import Path

import pytest

from bench.kills import kill_again_and_again


@pytest.mark.timeout(300)
async def test_a_killed_database_and_then_a_killed_server_lose_no_turn(tmp_path: Path, models_dir: Path) -> None:
    runs = await kill_again_and_again(tmp_path, ["postgres", "valkey"], seed=7)
    assert [run.whole for run in runs] == [True, True]
    assert [run.ended for run in runs] == [True, True]
    assert all(run.hits > 0 for run in runs)
    assert all(run.turns >= 8 for run in runs)
