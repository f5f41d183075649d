"""The command that compose.yaml gives Redis, run by the distribution's Redis."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from persistence.embedded.processes import free_port
from tests.debian import redis_program


def test_redis_with_the_commands_password_lets_nobody_else_in(repository: Path, tmp_path: Path) -> None:
    redis_program()
    port = free_port()
    compose = yaml.safe_load((repository / "docker/compose.yaml").read_text())
    script = compose["services"]["redis"]["command"][-1].replace("$$", "$").replace("dir /data", f"dir {tmp_path}")
    script = script.replace("requirepass", f"port {port}\nrequirepass").replace("appendonly yes", "appendonly no")
    server = subprocess.Popen(["sh", "-c", script], env={**os.environ, "REDIS_PASSWORD": "letters1"}, cwd=tmp_path)
    try:
        with Redis(port=port, retry=Retry(ConstantBackoff(0.1), 300)) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        with Redis(port=port, password="letters1") as morgan:
            assert morgan.ping()
            # Whoever stops the container stops the server, not a shell in front of it.
            assert morgan.info("server")["process_id"] == server.pid
            assert morgan.config_get("maxmemory")["maxmemory"] == str(512 * 1024 * 1024)
    finally:
        server.terminate()
        server.wait(10)
