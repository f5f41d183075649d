"""Signatures over a body and the time at which it was sent, as Telnyx and jambonz make them.

Sources: https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks (Ed25519),
https://docs.jambonz.org/guides/features/securing-http-endpoints (HMAC-SHA256).
"""

import base64
import binascii
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TELNYX_HEADER = "telnyx-signature-ed25519"
TELNYX_TIME_HEADER = "telnyx-timestamp"
JAMBONZ_HEADER = "Jambonz-Signature"

TOLERANCE_S = 300.0
"""For so long before and after its time a request is good; both providers' libraries allow as much."""

_MOST_PARTS = 8
_SIGNATURE_BYTES = 64


def telnyx_key(text: str) -> Ed25519PublicKey:
    """The public key of an account as its portal shows it, in base64; raises ValueError."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("the public key of a Telnyx account is 32 bytes in base64") from None


def is_signed_by_telnyx(key: Ed25519PublicKey, shown: str, timestamp: str, body: bytes, now: float) -> bool:
    """Whether a body was sent by Telnyx, and just now.

    Args:
        key: of the account.
        shown: the signature, in base64.
        timestamp: seconds since 1970, as the header has them.
        body: as it came.
        now: seconds since 1970.
    """
    if not _is_fresh(timestamp, now):
        return False
    try:
        signature = base64.b64decode(shown, validate=True)
        if len(signature) != _SIGNATURE_BYTES:
            return False
        key.verify(signature, timestamp.encode() + b"|" + body)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def is_signed_by_jambonz(secret: str, shown: str, body: bytes, now: float) -> bool:
    """Whether a body was sent by a jambonz that has the secret, and just now.

    Args:
        secret: of the account's webhooks.
        shown: `t=<seconds since 1970>,v1=<hexadecimal digits>`; there may be several v1.
        body: as it came.
        now: seconds since 1970.
    """
    parts = [part.strip().partition("=") for part in shown.split(",")[:_MOST_PARTS]]
    timestamp = next((value for name, _, value in parts if name == "t"), "")
    if not _is_fresh(timestamp, now):
        return False
    right = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()
    told = [value.encode("utf-8", "surrogateescape") for name, _, value in parts if name == "v1"]
    return any(hmac.compare_digest(right, each) for each in told)


def _is_fresh(timestamp: str, now: float) -> bool:
    return (
        timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16 and abs(now - int(timestamp)) <= TOLERANCE_S
    )
