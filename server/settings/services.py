"""Which engines are in other processes."""

import re

from pydantic import BaseModel, Field, field_validator

from server.settings.types import Listed


class ServicesSettings(BaseModel):
    """Which engines are in other processes."""

    stt_url: Listed = Field(
        (), description="Morgan's STT services that the core uses, http://host:8003, comma-separated; none: in process."
    )
    llm_url: Listed = Field(
        (), description="Its LLM services (embeddings too), http://host:8001, comma-separated; none: in process."
    )
    tts_url: Listed = Field((), description="Its TTS services, http://host:8002, comma-separated; none: in process.")
    service_wait_s: float = Field(60.0, ge=0, description="How long the core's start waits for its services.")

    @field_validator("stt_url", "llm_url", "tts_url")
    @classmethod
    def _service_roots(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", url):
                raise ValueError(f"{url} is not the root of a service, such as http://localhost:8003")
        return tuple(url.rstrip("/") for url in urls)
