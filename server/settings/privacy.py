"""How long what is kept stays, and what is not kept at all."""

from typing import Annotated

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from media.sealed_file import SealingKeys

DAY_S = 86_400.0


class PrivacySettings(BaseModel):
    """How long what is kept stays, and what is not kept at all."""

    store_text: bool = Field(
        True,
        description="off: what is said stands in no database, index, journal or file; a conversation is remembered by "
        "the process alone, for an hour, and so are webhooks that wait; documents are not taken. That there was one is "
        "kept, and users' preferences.",
    )
    store_audio: bool = Field(
        True,
        description="off: no sound is kept outside of the process: no recordings, no cache of speech in databases.",
    )
    keep_messages_days: float | None = Field(
        None,
        gt=0,
        description="Age at which goes what was said, with transcriptions, speech and sessions; none: never. A "
        "conversation in which nothing happened for so long goes with its recordings.",
    )
    keep_memories_days: float | None = Field(
        None,
        gt=0,
        description="Age at which a message is not found by its meaning any more; none: as long as it is kept.",
    )
    keep_documents_days: float | None = Field(
        None,
        gt=0,
        description="Age at which documents go that users gave Morgan to read (`morgan memory add`), counted from when "
        "they were last added; none: never.",
    )
    keep_recordings_days: float | None = Field(
        None, gt=0, description="Age at which recordings of calls go; none: with their conversation."
    )
    keep_journals_days: float | None = Field(
        None, gt=0, description="Age at which is lost what PostgreSQL still has not taken; none: never."
    )
    keep_refused_days: float | None = Field(
        30.0, gt=0, description="Age at which goes what PostgreSQL refused for good (`refused.jsonl`); none: never."
    )
    recording_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys that recordings are encrypted with on disk, `id:base64` of 32 bytes each, comma-separated "
        "(2026a:$(openssl rand -base64 32)). The first one encrypts, the others still open what they have encrypted.",
    )

    @field_validator("recording_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("recording_keys")
    @classmethod
    def _usable_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        SealingKeys.parse(key.get_secret_value() for key in keys)
        return keys

    @property
    def sealing_keys(self) -> SealingKeys | None:
        """What recordings are encrypted with; None for nothing."""
        return SealingKeys.parse(key.get_secret_value() for key in self.recording_keys)


def seconds(days: float | None) -> float | None:
    """Days as seconds; None stays None."""
    return None if days is None else days * DAY_S
