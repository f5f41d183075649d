"""The signature with which Twilio shows that a request is its own: https://www.twilio.com/docs/usage/security."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence

HEADER = "X-Twilio-Signature"

Pairs = Sequence[tuple[str, str]]


def signature(auth_token: str, url: str, form: Pairs = ()) -> str:
    """The signature of a request: base64 of HMAC-SHA1 over its URL and the fields of its form, sorted by name.

    Args:
        auth_token: of the account.
        url: as Twilio asked for it.
        form: fields of a body that is a form; a name with the same value twice counts once.
    """
    return _signature(auth_token.encode(), url, _fields(form)).decode()


def is_signed(auth_token: str, shown: str, urls: Iterable[str], form: Pairs = ()) -> bool:
    """Whether a signature is that of one of some URLs, in constant time for each; strangers' bytes are all in it."""
    key, fields, told = auth_token.encode(), _fields(form), _bytes(shown)
    return any(hmac.compare_digest(_signature(key, url, fields), told) for url in urls)


def _fields(form: Pairs) -> bytes:
    return _bytes("".join(name + value for name, value in sorted(set(form))))


def _signature(key: bytes, url: str, fields: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, _bytes(url) + fields, hashlib.sha1))


def _bytes(text: str) -> bytes:
    # Headers and paths come with whatever bytes somebody sent.
    return text.encode("utf-8", "surrogateescape")


def spellings(scheme: str, hosts: Iterable[str], path: str) -> list[str]:
    """The URLs as which Twilio may have signed a request that came through a proxy.

    A WebSocket is signed as wss or as https; a port that is the scheme's own may be named or not; a path may have had
    a slash behind it.

    Args:
        scheme: "http" or "https", as it came here.
        hosts: names (with ports) under which the server may have been asked.
        path: with its query.
    """
    schemes = dict.fromkeys(("https", "wss", scheme, scheme.replace("http", "ws")))
    named = dict.fromkeys(form for host in hosts if host for form in (host, host.removesuffix(":443"), f"{host}:443"))
    paths = (path,) if "?" in path else (path, path + "/")
    return [f"{each}://{host}{tail}" for each in schemes for host in named for tail in paths]
