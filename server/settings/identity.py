"""Who is let in, and how much of what each may do."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from server.addresses import is_loopback
from server.identity.jwt_keys import public_key
from server.identity.scopes import parse_scopes
from server.settings.types import Listed, ListedSecrets

MIN_KEY_LENGTH = 24
MIN_SECRET_LENGTH = 32


class IdentitySettings(BaseModel):
    """Who is let in, and how much of what each may do."""

    api_keys: ListedSecrets = Field(
        (), description=f"Keys that open the API, comma-separated, at least {MIN_KEY_LENGTH} characters each."
    )
    service_key: SecretStr = Field(
        SecretStr(""), description="What the core shows the services; empty: the first of api_keys."
    )
    token_secret: SecretStr = Field(
        SecretStr(""),
        description="What tokens are signed with, at least 32 characters, the same for servers that take each "
        "other's; empty: one of this data_dir's own.",
    )
    jwt_secret: SecretStr = Field(
        SecretStr(""),
        description="JWTs of an identity provider open the API: signed with this secret (HS256), at least 32 "
        "characters, ...",
    )
    jwt_public_key: str = Field(
        "",
        description="... or with the private key of this one: PEM, or a file with it; RSA is RS256, P-256 is ES256 ...",
    )
    jwt_jwks_url: str = Field("", description="... or with one of the keys at this address (RS256, ES256).")
    jwt_issuer: str = Field("", description="Their `iss`; empty: any.")
    jwt_audience: str = Field("", description="Among their `aud`; empty: they have none. Both are needed with a JWKS.")
    jwt_user_claim: str = Field("sub", min_length=1, description="Their claim that names the user.")
    jwt_scope_claim: str = Field(
        "scope", min_length=1, description="Their claim with scopes, which may have morgan: before them."
    )
    jwt_scopes: Listed = Field(("calls", "read", "erase"), description="Scopes of those without that claim.")
    jwt_leeway_s: float = Field(30.0, ge=0, le=600, description="What the provider's clock may be off.")
    wrong_keys_per_minute: int = Field(
        30, ge=1, description="Wrong keys from one address; further ones are answered 429."
    )
    calls_per_minute: int = Field(
        120, ge=1, description="Calls that one client (key and address) may begin; further ones are answered 429."
    )
    half_open_calls: int = Field(
        10, ge=1, description="Of them, those that are not connected yet; further ones are answered 429."
    )
    requests_per_minute: int = Field(
        1200, ge=1, description="Other requests of one client that cost something; further ones are answered 429."
    )
    calls_per_day: int | None = Field(
        None,
        ge=1,
        description="Calls that a key, a user or (where no key is asked for) an address may begin in 24 hours; a key's "
        "own quota (morgan keys add) counts in its place. None: any number.",
    )
    requests_per_day: int | None = Field(None, ge=1, description="Other requests that cost something, likewise.")

    @field_validator("api_keys")
    @classmethod
    def _long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < MIN_KEY_LENGTH for key in keys):
            raise ValueError(
                f"a key needs at least {MIN_KEY_LENGTH} characters; `openssl rand -hex 24` makes a good one"
            )
        return keys

    @field_validator("service_key")
    @classmethod
    def _service_key_long_enough(cls, key: SecretStr) -> SecretStr:
        if key.get_secret_value():
            cls._long_enough((key,))
        return key

    @field_validator("jwt_scopes")
    @classmethod
    def _known_scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        parse_scopes(scopes)
        return scopes

    @field_validator("jwt_public_key")
    @classmethod
    def _usable_key(cls, key: str) -> str:
        if key:
            public_key(key)
        return key

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe_jwks(cls, url: str) -> str:
        host = urlsplit(url).hostname or ""
        if url and not (url.startswith("https://") or (url.startswith("http://") and is_loopback(host))):
            raise ValueError("it must begin with https://, since what answers there decides who comes in")
        return url

    @field_validator("token_secret", "jwt_secret")
    @classmethod
    def _secret_enough(cls, secret: SecretStr) -> SecretStr:
        if secret.get_secret_value() and len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(
                f"it needs at least {MIN_SECRET_LENGTH} characters; `openssl rand -hex 32` makes a good one"
            )
        return secret

    @model_validator(mode="after")
    def _one_provider(self) -> Self:
        if sum((bool(self.jwt_secret.get_secret_value()), bool(self.jwt_public_key), bool(self.jwt_jwks_url))) > 1:
            raise ValueError("set one of jwt_secret, jwt_public_key and jwt_jwks_url")
        if self.jwt_jwks_url and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "jwt_jwks_url needs jwt_issuer and jwt_audience: the provider signs JWTs for others with the same keys"
            )
        return self
