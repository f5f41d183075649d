"""TURN servers, for callers whose networks let no UDP through to the media port."""

import re
from typing import Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from server.settings.types import Listed

MIN_TURN_SECRET = 16

_URL = re.compile(r"turns?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:\?transport=(?:udp|tcp))?")


class TurnSettings(BaseModel):
    """TURN servers, for callers whose networks let no UDP through to the media port."""

    turn_urls: Listed = Field(
        (),
        description="TURN servers that callers may use, turn:host:3478?transport=udp, turns:host:5349, ..., "
        "comma-separated; none: the media port can be reached.",
    )
    turn_secret: SecretStr = Field(
        SecretStr(""),
        description=f"What they share with Morgan (coturn: static-auth-secret), at least {MIN_TURN_SECRET} characters.",
    )
    turn_ttl_s: int = Field(
        21_600, ge=60, le=604_800, description="How long the credentials that callers get for them are good, seconds."
    )

    @field_validator("turn_urls")
    @classmethod
    def _turn_uris(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not _URL.fullmatch(url):
                raise ValueError(f"{url} is not a TURN server, such as turn:turn.example.org:3478?transport=udp")
        return urls

    @model_validator(mode="after")
    def _turn_with_its_secret(self) -> Self:
        if self.turn_urls and len(self.turn_secret.get_secret_value()) < MIN_TURN_SECRET:
            raise ValueError(
                f"turn_urls needs turn_secret, of at least {MIN_TURN_SECRET} characters: the static-auth-secret of the "
                "TURN server; `openssl rand -hex 24` makes a good one"
            )
        return self
