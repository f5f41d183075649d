"""All settings as one frozen object, and what follows from several of them."""

import ipaddress
from typing import Any, Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from server.addresses import is_loopback
from server.identity.keys_file import KEYS_FILE
from server.roles import takes_calls
from server.settings.conversation import ConversationSettings
from server.settings.engines import EnginesSettings
from server.settings.identity import IdentitySettings
from server.settings.listening import ListeningSettings
from server.settings.media import MediaSettings
from server.settings.privacy import PrivacySettings
from server.settings.services import ServicesSettings
from server.settings.stores import StoresSettings
from server.settings.telephone import TelephoneSettings
from server.settings.tls import TlsSettings
from server.settings.turn import TurnSettings
from server.settings.webhooks import WebhookSettings

PREFIX = "MORGAN_"
NESTED = "__"


class Settings(
    ConversationSettings,
    EnginesSettings,
    TurnSettings,
    MediaSettings,
    IdentitySettings,
    PrivacySettings,
    StoresSettings,
    ServicesSettings,
    WebhookSettings,
    TelephoneSettings,
    TlsSettings,
    ListeningSettings,
    BaseSettings,
):
    """The effective settings: those of all sections.

    Each is set by `MORGAN_<NAME>` or by `<name>` in the TOML file; those of `turn_taking` by
    `MORGAN_TURN_TAKING__<NAME>` or in a table `[turn_taking]`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid", validate_default=True
    )

    @model_validator(mode="after")
    def _engines_of_the_core(self) -> Self:
        if self.role == "core":
            elsewhere = {
                "stt_url": bool(self.stt_url),
                "llm_url": bool(self.llm_url or self.llm_base_url),
                "tts_url": bool(self.tts_url or self.tts_engine != "local"),
            }
            missing = [PREFIX + name.upper() for name, known in elsewhere.items() if not known]
            if missing:
                raise ValueError(
                    f"role is core, which has no engines of its own: set {', '.join(missing)}, or serve the role all"
                )
        return self

    @model_validator(mode="after")
    def _nothing_is_recorded_that_is_not_to_be_stored(self) -> Self:
        if self.record_calls and not self.store_audio:
            raise ValueError("record_calls keeps the sound of calls, and store_audio is off")
        if self.record_inputs != "never" and not (self.store_audio and self.store_text):
            raise ValueError("record_inputs keeps words and Morgan's voice, and store_text or store_audio is off")
        return self

    @model_validator(mode="after")
    def _not_every_page(self) -> Self:
        every = next((origin for origin in ("*", "null", "file://") if origin in self.allowed_origins), None)
        if every is not None and not self.asks_for_keys:
            # Any page can open a frame whose origin is null.
            raise ValueError(
                f"allowed_origins: {every} without keys would let every page that is open in a browser here use Morgan"
            )
        return self

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        reached = f"host is {self.host}" if not is_loopback(self.host) else ""
        if self.trusted_proxies and not reached:
            reached = f"a proxy at {', '.join(self.trusted_proxies)} hands on requests"
        if reached and not self.asks_for_keys:
            raise ValueError(
                f"{reached}, which strangers can reach, and there are no api_keys. Set MORGAN_API_KEYS (for "
                "example to the output of `openssl rand -hex 24`) and give callers the key, make keys with "
                "`morgan keys add`, set MORGAN_JWT_*, or listen on localhost"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over what is handed in: the TOML file comes in as the defaults of this installation."""
        return env_settings, init_settings

    @property
    def expected_language(self) -> str | None:
        """What callers most likely speak of whom nothing else is known; None for no idea."""
        return self.language or next(iter(self.languages), None)

    @property
    def media_address(self) -> str:
        """Where the UDP port is bound; empty for all addresses."""
        if self.media_host:
            return "127.0.0.1" if self.media_host == "localhost" else self.media_host
        try:
            host = ipaddress.ip_address(self.host)
        except ValueError:
            return ""
        return "" if host.is_loopback or host.is_unspecified else self.host

    def service_urls(self, service: str) -> tuple[str, ...]:
        """Where a service is that this process uses from others; none where it has the engine itself.

        Args:
            service: "llm", "tts" or "stt".
        """
        urls: tuple[str, ...] = getattr(self, f"{service}_url")
        # A service has its engine itself, whatever the variables say that it shares with the core.
        return urls if takes_calls(self.role) else ()

    @property
    def asks_for_keys(self) -> bool:
        """Whether somebody without a key, a JWT or a token is turned away."""
        provider = bool(self.jwt_secret.get_secret_value() or self.jwt_public_key or self.jwt_jwks_url)
        of_cores = bool(self.service_key.get_secret_value()) and not takes_calls(self.role)
        return bool(self.api_keys) or provider or of_cores or (self.data_dir / KEYS_FILE).exists()

    @property
    def key_for_services(self) -> str:
        """What is shown to them; empty for none."""
        keys = (self.service_key, *self.api_keys)
        return next((key.get_secret_value() for key in keys if key.get_secret_value()), "")

    def shown(self) -> dict[str, Any]:
        """The settings for people to read, secrets hidden."""
        return self.model_dump(mode="json")
