"""A server that has as many calls as it answers in time says so at once."""

from pathlib import Path

import aiohttp

from tests.serving import serving


async def test_beyond_its_capacity_every_door_refuses_with_words_and_a_time(models_dir: Path, tmp_path: Path) -> None:
    with serving(models_dir, tmp_path, MORGAN_MAX_CALLS="1", MORGAN_MEMORY="off") as server:
        async with aiohttp.ClientSession(server.url) as http, http.ws_connect("/ws/audio") as first:
            await first.send_json({"type": "start", "user_id": "first", "language": "en"})
            assert (await first.receive_json())["type"] == "started"
            async with http.post("/api/calls", json={"sdp": "v=0", "type": "offer"}) as refused:
                assert refused.status == 503
                assert int(refused.headers["Retry-After"]) > 0
                problem = (await refused.json())["error"]
            assert problem["code"] == "no_capacity"
            assert problem["message"] == "The only line is busy"
            async with http.ws_connect("/ws/audio") as second:
                await second.send_json({"type": "start", "user_id": "second", "language": "en"})
                told = await second.receive_json()
                assert (told["type"], told["error"]["code"]) == ("error", "no_capacity")
            async with http.get("/health") as health:
                assert (await health.json())["calls"] == {"active": 1, "capacity": 1, "total": 1}
            async with http.get("/metrics") as metrics:
                assert "morgan_calls_refused_total 2.0" in await metrics.text()
