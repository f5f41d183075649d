"""Who is told by webhooks what happens in calls."""

import base64
import binascii
from typing import Literal, Self, get_args

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from server.outgoing import check_url
from server.settings.types import Listed

WebhookEvent = Literal["call.started", "call.ended", "turn.completed", "tool.returned", "recording.ready"]
"""What can be told; the test message, `webhook.test`, is beside them."""

EVENTS: tuple[str, ...] = get_args(WebhookEvent)

SECRET_PREFIX = "whsec_"  # noqa: S105 - how one begins
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
"""Of the secret itself, by the specification."""


class WebhookSettings(BaseModel):
    """Who is told by webhooks what happens in calls."""

    webhook_urls: Listed = Field(
        (), description="Where webhooks go, comma-separated: https://..., or http:// within one's own network."
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="What they are signed with, whsec_...; `morgan webhooks secret` makes one."
    )
    webhook_events: Listed = Field(EVENTS, description="What is told.")
    webhook_private: bool = Field(
        False, description="Whether public names among webhook_urls may lead to private addresses."
    )

    @field_validator("webhook_urls")
    @classmethod
    def _receivers(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            try:
                check_url(url)
            except OSError as error:
                raise ValueError(str(error)) from None
        return tuple(dict.fromkeys(urls))

    @field_validator("webhook_events")
    @classmethod
    def _known_events(cls, events: tuple[str, ...]) -> tuple[str, ...]:
        for event in events:
            if event not in EVENTS:
                raise ValueError(f"{event} is no webhook; there are {', '.join(EVENTS)}")
        return events

    @field_validator("webhook_secret")
    @classmethod
    def _strong_secret(cls, secret: SecretStr) -> SecretStr:
        told = secret.get_secret_value()
        if not told:
            return secret
        try:
            key = base64.b64decode(told.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not told.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
            raise ValueError(
                f"the webhook secret is {SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64: "
                "`morgan webhooks secret` makes one"
            )
        return secret

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.webhook_urls and not self.webhook_secret.get_secret_value():
            raise ValueError("webhook_urls need a webhook_secret: `morgan webhooks secret` makes one")
        return self
