"""`/metrics` after a real call: every stage, every part, and the same as others count."""

import asyncio
import json
import re
from pathlib import Path
from urllib.request import urlopen

import pytest
import redis

from tests.e2e.conftest import RunningServer
from tests.e2e.test_call_command import morgan

STAGES = {"silence_wait", "stt", "llm_first_token", "first_clause", "tts_first_audio", "release", "first_packet"}


def scraped(server: RunningServer) -> dict[str, float]:
    """Every sample, by its name and labels."""
    with urlopen(f"{server.url}/metrics", timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        text = response.read().decode()
    return {found[1]: float(found[2]) for found in re.finditer(r"^([^#\s].*) (\S+)$", text, re.MULTILINE)}


async def test_a_call_is_counted_by_every_part_that_it_goes_through(server: RunningServer, repository: Path) -> None:
    before = scraped(server)
    clip = repository / "tests" / "clips" / "question.wav"
    done = await asyncio.to_thread(morgan, "call", str(clip), "--json", url=server.url)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    after = scraped(server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("morgan_calls_opened_total") == 1
    assert sum(grown(name) for name in after if name.startswith("morgan_calls_ended_total")) == 1
    assert grown("morgan_turns_total") >= 1
    turns = grown("morgan_voice_to_voice_seconds_count")
    assert turns >= 1
    assert {re.sub(r'.*stage="(\w+)".*', r"\1", name) for name in after if "stage_seconds_sum" in name} == STAGES
    whole = grown("morgan_voice_to_voice_seconds_sum")
    stages = sum(grown(f'morgan_turn_stage_seconds_sum{{stage="{stage}"}}') for stage in STAGES)
    assert abs(whole - stages) < 0.01
    assert turns > 1 or abs(whole * 1000 - report["server_ms"]) < 1
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"turn answered"' in line]
    assert lines[-1]["voice_to_voice_ms"] == pytest.approx(sum(lines[-1]["stages_ms"].values()), abs=1)
    assert turns > 1 or abs(lines[-1]["voice_to_voice_ms"] - report["server_ms"]) < 1
    for figure in ("send_failures", "srtp_early", "dtls_dropped"):
        assert after[f"morgan_media_{figure}_total"] >= 0
    assert grown("morgan_media_packets_received_total") > 50
    assert grown("morgan_media_packets_sent_total") > 50
    # A reply that was said before comes from the cache of speech, and costs the lane of TTS nothing.
    for lane in ("turn", "stt", "llm"):
        assert grown(f'morgan_lane_jobs_total{{lane="{lane}",outcome="done"}}') >= 1, lane
    for engine in ("vad", "turn", "stt", "llm"):
        assert grown(f'morgan_engine_works_total{{engine="{engine}"}}') >= 1, engine
    assert grown('morgan_journal_records_total{outcome="recorded"}') > 0


def test_cached_reads_agree_with_health_and_with_redis(server: RunningServer) -> None:
    client = redis.from_url(server.environment()["MORGAN_REDIS_URL"])
    before, info_before = scraped(server), client.info("stats")
    for _ in range(5):
        with urlopen(f"{server.url}/api/users/somebody/preferences", timeout=10) as response:
            assert response.status == 200
    samples, info = scraped(server), client.info("stats")
    client.close()
    for result, theirs in (("hit", "keyspace_hits"), ("miss", "keyspace_misses")):
        name = f'morgan_cache_lookups_total{{result="{result}",tier="redis"}}'
        # Redis counts what the rate limits look up, too.
        assert 0 <= samples[name] - before[name] <= info[theirs] - info_before[theirs]
    hits = 'morgan_cache_lookups_total{result="hit",tier="redis"}'
    assert samples[hits] - before[hits] >= 4
    with urlopen(f"{server.url}/health", timeout=10) as response:
        health = json.load(response)
    found = sum(samples[f'morgan_cache_lookups_total{{result="hit",tier="{tier}"}}'] for tier in ("redis", "memory"))
    assert health["cache"]["hits"] == found > 0
    assert health["calls"]["total"] == samples["morgan_calls_opened_total"]
    for role in ("vad", "turn", "stt", "llm", "tts"):
        assert health["components"][role]["status"] == "ok"
        assert health["components"][role]["latency_ms"] > 0


def test_requests_are_counted_by_route_and_never_by_path(server: RunningServer) -> None:
    for name in ("a", "b"):
        with urlopen(f"{server.url}/api/users/{name}/preferences", timeout=10):
            pass
    samples = scraped(server)
    routes = {found[1] for name in samples if (found := re.search(r'route="([^"]*)"', name))}
    assert "/api/users/{user_id}/preferences" in routes
    assert not any(route.startswith("/api/users/a") for route in routes)
