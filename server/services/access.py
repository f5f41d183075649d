"""Who lets people in, made from the settings."""

from server.http.guard import Access, WrongKeys
from server.http.rate_limits import NO_REDIS
from server.identity.jwt_keys import Jwks, JwtKeys, OneKey, public_key
from server.identity.jwts import JwtRules, Jwts
from server.identity.kept_sessions import KeptSessions
from server.identity.keys import KeyRing
from server.identity.keys_file import KEYS_FILE
from server.identity.scopes import ALL, Scope, parse_scopes
from server.identity.signers import Jambonz, Plivo, Signer, Telnyx, Twilio
from server.identity.timed_signatures import telnyx_key
from server.identity.tokens import Tokens, read_secret
from server.identity.used_tokens import UsedTokens
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.roles import takes_calls
from server.settings import Settings

OF_CORES: frozenset[Scope] = frozenset({"service", "speech", "llm", "metrics"})
"""What a core does with a service."""

USED_FILE = "used-tokens.db"


def build_access(settings: Settings, door: MemoryDoor, metrics: Metrics) -> Access:
    """The same for all ports of a server.

    Raises:
        OSError: the secret of tokens can be neither read nor made.
    """
    configured = {key.get_secret_value(): ALL for key in settings.api_keys}
    service_key = settings.service_key.get_secret_value()
    if service_key and not takes_calls(settings.role):
        configured.setdefault(service_key, OF_CORES)
    keys = KeyRing(configured, settings.data_dir / KEYS_FILE)
    wrong_keys, tokens = (
        WrongKeys("wrong keys", settings.wrong_keys_per_minute, door.redis),
        build_tokens(settings, door),
    )
    return Access(
        keys,
        tokens,
        wrong_keys,
        metrics,
        build_jwts(settings),
        signers(settings),
        settings.telephone_longest_s,
    )


def signers(settings: Settings) -> list[Signer]:
    """The telephone providers whose signatures let in."""
    found: list[Signer] = []
    if token := settings.twilio_auth_token.get_secret_value():
        found.append(Twilio(token))
    if token := settings.plivo_auth_token.get_secret_value():
        found.append(Plivo(token))
    if settings.telnyx_public_key:
        found.append(Telnyx(telnyx_key(settings.telnyx_public_key)))
    if secret := settings.jambonz_webhook_secret.get_secret_value():
        found.append(Jambonz(secret))
    return found


def build_jwts(settings: Settings) -> Jwts | None:
    """Takes the JWTs of the identity provider in the settings; None where there is none."""
    keys: JwtKeys
    if secret := settings.jwt_secret.get_secret_value():
        keys = OneKey(secret.encode(), "HS256")
    elif settings.jwt_public_key:
        keys = public_key(settings.jwt_public_key)
    elif settings.jwt_jwks_url:
        keys = Jwks(settings.jwt_jwks_url)
    else:
        return None
    rules = JwtRules(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_user_claim,
        settings.jwt_scope_claim,
        parse_scopes(settings.jwt_scopes),
        settings.jwt_leeway_s,
    )
    return Jwts(keys, rules)


def build_tokens(settings: Settings, door: MemoryDoor | None = None) -> Tokens:
    """Makes and takes the tokens of a data directory; without memory each process of it keeps its own sessions."""
    redis = NO_REDIS if door is None else door.redis
    told = settings.token_secret.get_secret_value()
    secret = told.encode() if told else read_secret(settings.data_dir)
    return Tokens(secret, UsedTokens(settings.data_dir / "run" / USED_FILE, redis), KeptSessions(redis))
