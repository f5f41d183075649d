"""Telephone providers that sign what they ask: what each of them signs, and what lets it in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from server.identity import plivo_signature, twilio_signature
from server.identity.timed_signatures import (
    JAMBONZ_HEADER,
    TELNYX_HEADER,
    TELNYX_TIME_HEADER,
    is_signed_by_jambonz,
    is_signed_by_telnyx,
)

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that bears a signature.

    Attributes:
        headers: by name, of whatever case.
        scheme: "http" or "https", as it came here.
        hosts: names (with ports) under which the server may have been asked.
        path: with the query, as it came.
        query: what stands in that.
        form: fields of the body, where it is a form.
        body: as it came; b"" where there is none, or too much of it.
        now: seconds since 1970.
    """

    headers: Mapping[str, str]
    scheme: str
    hosts: Sequence[str]
    path: str
    query: Pairs
    form: Pairs
    body: bytes
    now: float


@dataclass(frozen=True, slots=True)
class Twilio:
    """Signs webhooks and WebSockets by their URL."""

    auth_token: str
    name: str = "twilio"
    header: str = twilio_signature.HEADER

    def signed(self, request: SignedRequest) -> str | None:
        """What tells this request from the next, "" where nothing has to; None where the signature is wrong."""
        shown = request.headers[self.header]
        urls = twilio_signature.spellings(request.scheme, request.hosts, request.path)
        if not twilio_signature.is_signed(self.auth_token, shown, urls, request.form):
            return None
        # Without a form there is nothing in it that would tell one request from the next.
        return shown if request.form else ""


@dataclass(frozen=True, slots=True)
class Plivo:
    """Signs webhooks and WebSockets by their URL, each with a number used once."""

    auth_token: str
    name: str = "plivo"
    header: str = plivo_signature.HEADER

    def signed(self, request: SignedRequest) -> str | None:
        """See `Twilio`."""
        shown, nonce = request.headers[self.header], request.headers.get(plivo_signature.NONCE_HEADER, "")
        addresses = twilio_signature.spellings(request.scheme, request.hosts, request.path.partition("?")[0])
        # Behind the last full stop of what is signed: what has one would begin with something of the form.
        once = nonce != "" and "." not in nonce
        right = once and plivo_signature.is_signed(
            self.auth_token, shown, nonce, addresses, request.query, request.form
        )
        return nonce if right else None


@dataclass(frozen=True, slots=True)
class Telnyx:
    """Signs the bodies of webhooks, with their time; nothing of WebSockets."""

    key: Ed25519PublicKey
    name: str = "telnyx"
    header: str = TELNYX_HEADER

    def signed(self, request: SignedRequest) -> str | None:
        """See `Twilio`."""
        shown, timestamp = request.headers[self.header], request.headers.get(TELNYX_TIME_HEADER, "")
        # Of a request without a body nothing is signed but that there was one.
        right = request.body and is_signed_by_telnyx(self.key, shown, timestamp, request.body, request.now)
        return "" if right else None


@dataclass(frozen=True, slots=True)
class Jambonz:
    """Signs the bodies of webhooks, with their time; nothing of WebSockets."""

    secret: str
    name: str = "jambonz"
    header: str = JAMBONZ_HEADER

    def signed(self, request: SignedRequest) -> str | None:
        """See `Twilio`."""
        shown = request.headers[self.header]
        return "" if request.body and is_signed_by_jambonz(self.secret, shown, request.body, request.now) else None


Signer: TypeAlias = Twilio | Plivo | Telnyx | Jambonz
"""A provider; `header` is where its signature is."""
