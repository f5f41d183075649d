"""Telephone lines: whose they are, what callers may do and hear."""

import re
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from server.identity.timed_signatures import telnyx_key

TARGET = re.compile(r"\+?[0-9*#]{1,32}|sips?:[^\s<>\"']{1,200}")
"""A number, or the address of somebody: https://www.rfc-editor.org/rfc/rfc3261#section-19.1."""


class TelephoneSettings(BaseModel):
    """Telephone lines: whose they are, what callers may do and hear."""

    telephone_dialect: Literal["twilio", "plivo", "telnyx", "jambonz"] = Field(
        "twilio",
        description="How the bridge speaks that comes to `/ws/media-stream`; one that comes to "
        "`/ws/media-stream/<dialect>` says so by that.",
    )
    twilio_auth_token: SecretStr = Field(
        SecretStr(""),
        description="Of your Twilio account: what bears its signature (X-Twilio-Signature) may open telephone lines, "
        "and what bears a wrong one, or neither that nor a key, may not.",
    )
    plivo_auth_token: SecretStr = Field(
        SecretStr(""), description="The same of your Plivo account (X-Plivo-Signature-V3)."
    )
    telnyx_public_key: str = Field(
        "", description="The same of your Telnyx account, for its webhooks only (telnyx-signature-ed25519); base64."
    )
    jambonz_webhook_secret: SecretStr = Field(
        SecretStr(""), description="The same of your jambonz account, for its webhooks only (Jambonz-Signature)."
    )
    telephone_url: str = Field(
        "",
        description="Where bridges reach this server, https://host; empty: where they ask what to do with a call.",
    )
    telephone_greeting: str = Field(
        "", description="Said when a telephone call stands, in place of `greeting`; a line with neither is silent."
    )
    telephone_known_callers: bool = Field(
        False,
        description="A caller's number says who they are, and what is remembered of them. Numbers can be forged.",
    )
    telephone_longest_s: float = Field(14_400.0, gt=0, description="A telephone call ends after so long.")
    transfer_targets: dict[str, str] = Field(
        {},
        max_length=64,
        description='Where the language model may connect callers to: a JSON object such as {"sales": '
        '"+15550100"}, numbers or SIP addresses by the names that it knows them by.',
    )
    audio_socket_port: int = Field(
        0, ge=0, le=65535, description="TCP port for Asterisk's AudioSocket; 0: none. It is not encrypted."
    )
    audio_socket_host: str = Field(
        "127.0.0.1", description="Its address. Where there are keys, only calls that were announced with one come in."
    )

    @field_validator("telnyx_public_key")
    @classmethod
    def _a_public_key(cls, key: str) -> str:
        if key:
            telnyx_key(key)
        return key

    @field_validator("telephone_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", url):
            raise ValueError(f"{url} is no address such as https://morgan.example.org")
        return url.rstrip("/")

    @field_validator("transfer_targets")
    @classmethod
    def _numbers(cls, targets: dict[str, str]) -> dict[str, str]:
        for name, target in targets.items():
            if not re.fullmatch(r"[\w .-]{1,64}", name):
                raise ValueError(f"{name!r} is no name: 1 to 64 letters, digits, spaces, dots, dashes")
            if not TARGET.fullmatch(target):
                raise ValueError(f"{name}: {target} is neither a number such as +15550100 nor a SIP address")
        return targets
