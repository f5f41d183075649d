"""A second server on the stores of the first, as `morgan env` prints them."""

from pathlib import Path

from tests.e2e.test_call_memory import health, write
from tests.serving import RunningServer, serving


async def test_a_second_server_shares_what_is_remembered_but_not_the_folder_of_vectors(
    server: RunningServer, models_dir: Path, tmp_path: Path
) -> None:
    known = server.environment()
    first = await write(server.url, "My name is Ada.", "shared")
    with serving(models_dir, tmp_path / "second", **known) as second:
        report = await health(second.url)
        kinds = {name: report["components"][name]["kind"] for name in ("postgres", "redis")}
        again = await write(second.url, "And how are you?", "shared", conversation_id="last")
        third = await write(server.url, "Goodbye.", "shared", conversation_id="last")
    assert kinds == {"postgres": "external", "redis": "external"}
    assert report["status"] == "degraded"
    assert report["components"]["qdrant"]["status"] == "down"
    # One process at a time can have the folder; who wants to share an index is told how.
    assert f"process {server.pid}" in report["components"]["qdrant"]["detail"]
    assert "MORGAN_QDRANT_URL" in report["components"]["qdrant"]["detail"]
    assert first["conversation_id"] == again["conversation_id"] == third["conversation_id"]
    assert (await health(server.url))["components"]["qdrant"]["status"] == "ok"
