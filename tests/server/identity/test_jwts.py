"""JWTs of an identity provider: which ones let somebody in, and as whom."""

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from server.identity.errors import TokenError
from server.identity.jwt_keys import FRESH_S, PAUSE_S, Jwks, OneKey, public_key
from server.identity.jwts import JwtRules, Jwts
from server.settings import SettingsError, load_settings

SECRET = b"a secret of thirty-two characters"
RULES = JwtRules("https://issuer", "morgan", "sub", "scope", frozenset({"calls"}), 0.0)
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def signed(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **more: Any) -> str:
    claims = {"iss": "https://issuer", "aud": "morgan", "sub": "alice", "exp": int(time.time()) + 60, **more}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@pytest.mark.parametrize(
    ("told", "scopes", "user_id"),
    [
        ({}, {"calls"}, "alice"),
        ({"scope": "openid calls read"}, {"calls", "read"}, "alice"),
        ({"scope": ["morgan:read", "email"]}, {"read"}, "alice"),
        ({"scope": ""}, set(), "alice"),
        ({"scope": 7}, set(), "alice"),
        ({"scope": "admin"}, {"admin"}, None),
    ],
)
async def test_a_jwt_says_who_and_what_for(told: dict[str, Any], scopes: set[str], user_id: str | None) -> None:
    principal = await Jwts(OneKey(SECRET, "HS256"), RULES).principal(signed(**told))
    assert (principal.id, principal.scopes, principal.user_id) == ("user:alice", scopes, user_id)


@pytest.mark.parametrize(
    "shown",
    [
        signed(exp=int(time.time()) - 1),
        signed(exp=None),
        signed(sub=None),
        signed(sub=""),
        signed(sub=7),
        signed(sub="a\0b"),
        signed(sub="x" * 300),
        signed(iss="https://another"),
        signed(iss=None),
        signed(aud="another"),
        signed(aud=None),
        signed(nbf=int(time.time()) + 600),
        signed(b"another secret of more than thirty-two characters"),
        signed("", "none"),
        signed(RSA, "RS256"),
        "a.b.c",
        "..",
        signed()[:-6],
        signed(more="x" * 9_000),
    ],
)
async def test_what_is_not_as_it_should_be_lets_nobody_in(shown: str) -> None:
    with pytest.raises(TokenError):
        await Jwts(OneKey(SECRET, "HS256"), RULES).principal(shown)


async def test_the_key_says_which_algorithm_and_not_the_jwt() -> None:
    for key, algorithm, other in ((RSA, "RS256", EC), (EC, "ES256", RSA)):
        jwts = Jwts(public_key(pem(key)), RULES)
        assert (await jwts.principal(signed(key, algorithm))).user_id == "alice"
        # The public key taken for a secret: everybody has it. (PyJWT itself would not sign so.)
        forged = signed(pem(key).replace("-----", "").encode(), "HS256")
        for wrong in (forged, signed(other, "ES256" if other is EC else "RS256"), signed()):
            with pytest.raises(TokenError):
                await jwts.principal(wrong)


class Provider:
    """An address with keys, and how often it was asked."""

    def __init__(self) -> None:
        self.now, self.asked, self.down = 0.0, 0, False
        self.keys: list[dict[str, Any]] = []

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.down:
            raise OSError("down")
        return json.dumps({"keys": self.keys}).encode()

    def add(self, key: Any, kid: str | None, algorithm: type[Any], **more: Any) -> None:
        listed = json.loads(algorithm.to_jwk(key.public_key()))
        self.keys.append({**listed, **({"kid": kid} if kid else {}), **more})


async def taken(jwts: Jwts, shown: str) -> bool:
    try:
        await jwts.principal(shown)
    except TokenError:
        return False
    return True


async def test_keys_come_from_the_providers_jwks_and_follow_it() -> None:
    provider = Provider()
    jwts = Jwts(Jwks("https://issuer/jwks", provider.fetch, lambda: provider.now), RULES)
    provider.add(RSA, "one", jwt.algorithms.RSAAlgorithm, use="sig")
    provider.keys += [{"kty": "oct", "kid": "secret", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, {}]
    assert await taken(jwts, signed(RSA, "RS256", "one"))
    assert not await taken(jwts, signed(b"secretsecretsecretsecretsecretsecret", "HS256", "secret"))
    provider.add(EC, "two", jwt.algorithms.ECAlgorithm)
    # However many JWTs name a key that nobody knows, the provider is asked twice a minute.
    assert not any([await taken(jwts, signed(EC, "ES256", f"made up {number}")) for number in range(50)])
    assert provider.asked == 1
    provider.now += PAUSE_S + 1
    assert await taken(jwts, signed(EC, "ES256", "two"))
    assert provider.asked == 2
    # A provider that is down for a while keeps nobody out.
    provider.down, provider.now = True, provider.now + FRESH_S + 1
    assert await taken(jwts, signed(RSA, "RS256", "one"))
    assert provider.asked == 3
    # What it took back is taken back.
    provider.down, provider.keys, provider.now = False, provider.keys[-1:], provider.now + FRESH_S + 1
    assert not await taken(jwts, signed(RSA, "RS256", "one"))


def test_a_private_key_is_no_public_one() -> None:
    private = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for given in (private, "/nowhere/at/all.pem", "rubbish"):
        with pytest.raises(ValueError, match="public key"):
            public_key(given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"jwt_secret": "short"}, "32"),
        ({"jwt_jwks_url": "http://issuer.example/jwks"}, "https"),
        ({"jwt_jwks_url": "https://issuer.example/jwks"}, "jwt_audience"),
        ({"jwt_secret": SECRET.decode(), "jwt_public_key": pem(EC)}, "one of"),
        ({"jwt_public_key": "rubbish"}, "PEM"),
        ({"jwt_scopes": "calls,everything"}, "everything"),
        ({"token_secret": "short"}, "32"),
        ({"service_key": "short"}, "24"),
    ],
)
def test_settings_that_would_let_the_wrong_ones_in_stop_the_start(given: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings(environ={"MORGAN_CONFIG": "", "HOME": "/nowhere"}, overrides=given)


def test_a_provider_is_enough_to_listen_to_strangers() -> None:
    given = {"host": "0.0.0.0", "jwt_secret": SECRET.decode()}
    assert load_settings(environ={"MORGAN_CONFIG": "", "HOME": "/nowhere"}, overrides=given).asks_for_keys
