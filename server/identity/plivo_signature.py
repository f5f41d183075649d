"""The signature with which Plivo shows that a request is its own, version 3.

Source: https://www.plivo.com/docs/voice/concepts/signature-validation
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence

HEADER = "X-Plivo-Signature-V3"
NONCE_HEADER = "X-Plivo-Signature-V3-Nonce"

MOST = 4
"""Signatures in one header that are looked at; Plivo sends one for each token that the account has at the time."""

Pairs = Sequence[tuple[str, str]]


def signature(auth_token: str, nonce: str, address: str, query: Pairs = (), form: Pairs = ()) -> str:
    """The signature of a request: base64 of HMAC-SHA256 over its URL, its fields and a number used once.

    Args:
        auth_token: of the account.
        nonce: of the request.
        address: its URL without the query.
        query: what stands in that.
        form: fields of a body that is a form.
    """
    return _signature(auth_token.encode(), address, _fields(nonce, query, form)).decode()


def is_signed(
    auth_token: str, shown: str, nonce: str, addresses: Iterable[str], query: Pairs = (), form: Pairs = ()
) -> bool:
    """Whether one of the signatures in a header is that of one of some addresses, in constant time for each."""
    key, fields = auth_token.encode(), _fields(nonce, query, form)
    told = [_bytes(each.strip()) for each in shown.split(",")[:MOST]]
    right = [_signature(key, address, fields) for address in addresses]
    return any(hmac.compare_digest(mine, theirs) for mine in right for theirs in told)


def _fields(nonce: str, query: Pairs, form: Pairs) -> bytes:
    asked = "&".join(f"{name}={value}" for name, value in sorted(query))
    posted = "".join(name + value for name, value in sorted(form))
    begins = f"?{asked}" if asked or form else ""
    return _bytes(f"{begins}{'.' if asked and form else ''}{posted}.{nonce}")


def _signature(key: bytes, address: str, fields: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, _bytes(address) + fields, hashlib.sha256))


def _bytes(text: str) -> bytes:
    # Headers and paths come with whatever bytes somebody sent.
    return text.encode("utf-8", "surrogateescape")
