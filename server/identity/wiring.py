"""Who lets people in, made from the settings."""

from persistence.cache.redis_tier import RedisTier
from server.identity.access import Access, WrongKeys
from server.identity.kept_sessions import KeptSessions
from server.identity.keys import KEYS_FILE, KeyRing
from server.identity.tokens import Tokens, read_secret
from server.identity.used_tokens import UsedTokens
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.settings import Settings

USED_FILE = "used-tokens.db"


def build_access(settings: Settings, door: MemoryDoor, metrics: Metrics) -> Access:
    """The same for all ports of a server.

    Raises:
        OSError: the secret of tokens can be neither read nor made.
    """
    keys = KeyRing([key.get_secret_value() for key in settings.api_keys], settings.data_dir / KEYS_FILE)
    return Access(keys, build_tokens(settings, door), WrongKeys(settings.wrong_keys_per_minute), metrics)


def build_tokens(settings: Settings, door: MemoryDoor | None = None) -> Tokens:
    """Makes and takes the tokens of a data directory; without memory each process of it keeps its own sessions."""

    def redis() -> RedisTier | None:
        return door.memory.redis if door is not None and door.memory is not None else None

    told = settings.token_secret.get_secret_value()
    secret = told.encode() if told else read_secret(settings.data_dir)
    return Tokens(secret, UsedTokens(settings.data_dir / "run" / USED_FILE, redis), KeptSessions(redis))
