"""Our own servers together: up at the start, down at the end."""

import asyncio

import structlog

from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.valkey import EmbeddedValkey
from persistence.errors import EmbeddedServerError

log = structlog.get_logger(__name__)


async def start_servers(postgres: EmbeddedPostgres | None, valkey: EmbeddedValkey | None) -> EmbeddedValkey | None:
    """Start our own servers; without a Valkey memory serves, without a PostgreSQL there is no point."""
    if valkey is not None:
        try:
            await valkey.start()
        except EmbeddedServerError as error:
            log.error("no valkey of our own, memory serves", problem=str(error))
            valkey = None
    if postgres is not None:
        try:
            await postgres.start()
        except BaseException:
            await stop_servers(None, valkey)
            raise
    return valkey


async def stop_servers(postgres: EmbeddedPostgres | None, valkey: EmbeddedValkey | None) -> None:
    """Stop those that there are."""
    await asyncio.gather(*(server.stop() for server in (postgres, valkey) if server is not None))
