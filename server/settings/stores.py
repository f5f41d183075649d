"""What is kept, and where."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator, model_validator

from persistence.config import FsyncPolicy
from pipeline.models import default_root

RecordInputs = Literal["never", "asked", "always"]

STORE_SCHEMES = {
    "postgres_dsn": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    "qdrant_url": ("http://", "https://", "file://"),
}
"""How the address of each store begins."""


class StoresSettings(BaseModel):
    """What is kept, and where."""

    data_dir: Path = Field(Path("~/.local/share/morgan"), description="Where Morgan keeps what it must not lose.")
    models_dir: Path = Field(default_factory=default_root, description="Where the weights are.")
    postgres_dsn: SecretStr | None = Field(None, description="A PostgreSQL, postgresql://...; none: one of our own.")
    redis_url: SecretStr | None = Field(None, description="A Redis or Valkey, redis://...; none: one of our own.")
    qdrant_url: str | None = Field(None, description="A Qdrant, http://... or file:///folder; none: in the data_dir.")
    qdrant_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    journal_fsync: FsyncPolicy = Field(
        "interval",
        description="When what waits for PostgreSQL is safe from a power cut: always, interval (1 s), never.",
    )
    memory: Literal["on", "off"] = Field(
        "on", description="off: nothing that is said is kept, and no database is started or asked."
    )
    record_calls: bool = Field(
        False, description="Keep the sound of calls in the data_dir. Tell your callers: many laws ask for it."
    )
    record_inputs: RecordInputs = Field(
        "never",
        description="Write down what a call is told, to replay it (`morgan replay`): of calls that ask for it "
        "(`morgan call --record-inputs`), or of all. There are the words of both sides in it, the instructions and "
        "Morgan's voice, but not the user's.",
    )

    @field_validator("postgres_dsn", "redis_url", "qdrant_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
        schemes = STORE_SCHEMES[info.field_name or ""]
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        if text is not None and not text.startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        return url

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _home(cls, path: Path) -> Path:
        return path.expanduser()

    @model_validator(mode="after")
    def _recordings_belong_to_conversations(self) -> Self:
        if self.record_calls and self.memory == "off":
            raise ValueError("record_calls needs memory: recordings are listed and deleted with their conversations")
        if self.record_inputs != "never" and self.memory == "off":
            raise ValueError("record_inputs needs memory: what is recorded is deleted with its conversation")
        return self
