"""The certificate of the server's own ports."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator


class TlsSettings(BaseModel):
    """The certificate of the server's own ports."""

    tls_cert: Path | None = Field(
        None,
        description="A PEM file with a certificate and those between it and its root: the ports speak https then. It "
        "is read again when it changes, and on SIGHUP.",
    )
    tls_key: Path | None = Field(None, description="A PEM file with its key, without a password.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both, or none to speak plain HTTP")
        return self
