"""The commands of the seed's section "How to Test", verbatim but for ports and `docker-compose exec`.

Those are replaced by the ports of the server under test, and by psql and redis-cli with the addresses of `morgan env`.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr

from tests.conftest import lacking
from tests.serving import RunningServer
from tests.spoken import spoken

Shell = Callable[[str], str]

CONVERSATIONS = 'psql "$MORGAN_POSTGRES_DSN" -At -c "SELECT * FROM conversations WHERE user_id = \'test_user\';"'

MESSAGES = 'psql "$MORGAN_POSTGRES_DSN" -At -c "SELECT role, content FROM messages ORDER BY created_at DESC LIMIT 5;"'


@pytest.fixture(scope="module")
def environment(server: RunningServer) -> dict[str, str]:
    """What `eval "$(morgan env)"` sets."""
    for tool in ("curl", "jq", "psql", "redis-cli"):
        if shutil.which(tool) is None:
            lacking(f"{tool} is not here; .ci/test-tools installs it")
    return {**os.environ, **server.environment()}


@pytest.fixture
def shell(server: RunningServer, environment: dict[str, str], tmp_path: Path) -> Shell:
    """Runs a script of the seed against the server; gives its output."""
    port = int(server.url.rpartition(":")[2])

    def run(script: str) -> str:
        ported = re.sub(r"localhost:800([0-3])", lambda found: f"127.0.0.1:{port + int(found[1])}", script)
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", ported],
            capture_output=True,
            text=True,
            timeout=90,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, f"{ported}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def wait_for(words: str, command: str, shell: Shell) -> None:
    """Answers do not wait for the database: what was said is there within moments."""
    deadline = time.monotonic() + 20
    while words not in shell(command):
        assert time.monotonic() < deadline, f"{words} did not come"
        time.sleep(0.2)


def test_health(shell: Shell) -> None:
    report = json.loads(shell("curl http://localhost:8000/health | jq"))
    assert report["status"] == "ok"


def test_databases(shell: Shell) -> None:
    counted = shell('psql "$MORGAN_POSTGRES_DSN" -At -c "SELECT COUNT(*) FROM conversations;"')
    assert int(counted) >= 0
    assert shell('redis-cli -u "$MORGAN_REDIS_URL" ping') == "PONG\n"


def test_llm_streaming(shell: Shell) -> None:
    said = shell(
        "curl -N -X POST http://localhost:8001/stream \\\n"
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"prompt": "Tell me a short story", "stream": true}\''
    )
    data = [line.removeprefix("data: ") for line in said.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    events = [json.loads(each) for each in data[:-1]]
    assert events[-1]["type"] == "done"
    tokens = [event["text"] for event in events if event["type"] == "token"]
    assert len(tokens) > 5
    assert "".join(tokens).strip() == events[-1]["text"]


def test_stt_streaming(shell: Shell, shared_audio: Path, tmp_path: Path) -> None:
    with wave.open(str(shared_audio / "weather.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        # Streams are at 16 kHz where their start does not say otherwise.
        pcm = soxr.resample(sound, file.getframerate(), 16_000).tobytes()
    chunks = [pcm[at : at + 16_000] for at in range(0, len(pcm), 16_000)]
    for number, chunk in enumerate(chunks):
        body = {"audio_data": base64.b64encode(chunk).decode()}
        (tmp_path / f"chunk{number:02}.json").write_text(json.dumps(body))
    ended = shell(
        "SESSION_ID=$(curl -X POST http://localhost:8003/stream/start \\\n"
        '  -H "Content-Type: application/json" \\\n'
        "  -d '{\"language\": \"auto\"}' | jq -r '.session_id')\n"
        "for chunk in chunk*.json; do\n"
        "  curl -fsS -X POST http://localhost:8003/stream/$SESSION_ID/chunk \\\n"
        '    -H "Content-Type: application/json" \\\n'
        "    -d @$chunk >/dev/null\n"
        "done\n"
        "curl -X POST http://localhost:8003/stream/$SESSION_ID/end"
    )
    told = json.loads(ended)
    assert told["text"] == spoken("What is the weather in Paris?")
    assert told["language"] == "en"


def test_tts_streaming(shell: Shell, tmp_path: Path) -> None:
    shell(
        "curl -X POST http://localhost:8002/generate \\\n"
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"text": "Hello world", "voice": "default", "stream": true}\' \\\n'
        "  --output speech.wav"
    )
    found = (tmp_path / "speech.wav").read_bytes()
    assert found[:4] + found[8:12] == b"RIFFWAVE"
    assert len(found) > 10_000


def test_text_is_kept_in_database_and_cache(shell: Shell) -> None:
    reply = json.loads(
        shell(
            "curl -X POST http://localhost:8000/api/text \\\n"
            '  -H "Content-Type: application/json" \\\n'
            '  -d \'{"text": "Hello Morgan", "user_id": "test_user"}\''
        )
    )
    assert reply["text"]
    # Written behind the answer: what waits for the database is there within moments.
    wait_for(reply["conversation_id"], CONVERSATIONS, shell)
    wait_for("user|Hello Morgan", MESSAGES, shell)
    assert "conversation:test_user" in shell('redis-cli -u "$MORGAN_REDIS_URL" KEYS "conversation:*"')
    shell('redis-cli -u "$MORGAN_REDIS_URL" KEYS "stream_session:*"')
    cached = shell('redis-cli -u "$MORGAN_REDIS_URL" GET "conversation:test_user"')
    assert "Hello Morgan" in cached


def test_ten_texts_at_once(shell: Shell) -> None:
    before = json.loads(shell("curl http://localhost:8000/health | jq '.conversations'"))
    said = shell(
        "for i in {1..10}; do\n"
        "  curl -X POST http://localhost:8000/api/text \\\n"
        '    -H "Content-Type: application/json" \\\n'
        '    -d "{\\"text\\": \\"Message $i\\", \\"user_id\\": \\"test_user\\"}" > answer$i.json &\n'
        "done\n"
        "wait\n"
        "cat answer*.json | jq -c '[.text, .conversation_id]'"
    )
    answers = [json.loads(line) for line in said.splitlines()]
    assert len(answers) == 10
    assert all(text and conversation for text, conversation in answers)
    deadline = time.monotonic() + 10
    while True:
        after = json.loads(shell("curl http://localhost:8000/health | jq '.conversations'"))
        if after["messages"] >= before["messages"] + 20:
            break
        assert time.monotonic() < deadline, (before, after)
        time.sleep(0.2)
