"""Which single-use tokens were used: remembered on disk and in Redis, so that neither a restart nor another process
takes one twice."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from persistence.cache.redis_tier import RedisTier, used_token_key
from persistence.errors import StoreUnavailableError

PRUNE_EVERY = 1000

KEPT_S = 7 * 24 * 3600.0
"""A used token is remembered for so long behind its end: a clock that is set back must not make it good again."""

log = structlog.get_logger(__name__)

_SCHEMA = "CREATE TABLE IF NOT EXISTS used (id TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID"


class UsedTokens:
    """Claims tokens, each once: among the tasks of a process, the processes of a data directory, and, where there is a
    Redis, the processes that share it. (While that one is down, each data directory decides for itself.)

    Args:
        path: of the SQLite file, made when the first token is used.
        redis: the fast tier, where there is one now.
    """

    def __init__(self, path: Path, redis: Callable[[], RedisTier | None] = lambda: None) -> None:
        self._path = path
        self._redis = redis
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="morgan-tokens")
        self._database: sqlite3.Connection | None = None
        self._claims = 0

    async def claim(self, token_id: str, expires_at: float) -> bool:
        """Whether this is the first use of a token; there is no second one.

        Raises:
            sqlite3.Error, OSError: the disk does not take it: then nobody can tell, and nobody gets in.
        """
        here = await asyncio.get_running_loop().run_in_executor(self._thread, self._claim, token_id, expires_at)
        redis = self._redis()
        if not here or redis is None:
            return here
        try:
            return await redis.claim(used_token_key(token_id), max(1, int(expires_at - time.time()) + 60))
        except StoreUnavailableError:
            return True

    def close(self) -> None:
        """Let go of the file."""
        self._thread.shutdown()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _claim(self, token_id: str, expires_at: float) -> bool:
        database = self._opened()
        self._claims += 1
        with database:
            if self._claims % PRUNE_EVERY == 1:
                database.execute("DELETE FROM used WHERE expires_at <= ?", (time.time() - KEPT_S,))
            done = database.execute("INSERT OR IGNORE INTO used VALUES (?, ?)", (token_id, expires_at))
        return done.rowcount == 1

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=2.0, check_same_thread=False)
            self._path.chmod(0o600)
            # A power cut may cost the last uses; a killed process costs none.
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(_SCHEMA)
        return self._database
