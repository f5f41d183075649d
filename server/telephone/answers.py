"""What a bridge is told to do with a call, in the language of its provider: connect it to Morgan, and what comes then.

TwiML (Twilio), TeXML (Telnyx), Plivo's XML and jambonz's JSON run one instruction after the other; the one behind the
stream is run when Morgan has left, and asks what is to become of the caller.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from xml.sax.saxutils import escape, quoteattr

Bridge: TypeAlias = Literal["twilio", "plivo", "telnyx", "jambonz", "asterisk"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call that a bridge asks about.

    Attributes:
        stream_url: ws or wss, where it is to connect the call to.
        next_url: where it is to ask what comes then.
        token: that lets the stream in; it is in the URL as well.
        caller: the number that calls.
        called: the number that was called.
    """

    stream_url: str
    next_url: str
    token: str
    caller: str
    called: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What one provider's bridges are told.

    Attributes:
        content_type: of the answers.
        call_id: field of a question that names the call.
        connect: the answer to an incoming call.
        follow: the answer to what comes then: a number or an address, or None to hang up.
    """

    content_type: str
    call_id: str
    connect: Callable[[Incoming], str]
    follow: Callable[[str | None], str]


def _xml(*parts: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{"".join(parts)}</Response>\n'


def _parameters(incoming: Incoming) -> str:
    """What a stream is to pass on. Neither a number nor a name is secret; the token is in the address only."""
    told = {"from": incoming.caller, "to": incoming.called}
    return "".join(f"<Parameter name={quoteattr(name)} value={quoteattr(v)}/>" for name, v in told.items() if v)


def _twilio(incoming: Incoming) -> str:
    stream = f"<Stream url={quoteattr(incoming.stream_url)}>{_parameters(incoming)}</Stream>"
    return _xml(f"<Connect>{stream}</Connect>", f"<Redirect>{escape(incoming.next_url)}</Redirect>")


def _telnyx(incoming: Incoming) -> str:
    attributes = 'bidirectionalMode="rtp" bidirectionalCodec="PCMU" codec="PCMU" track="inbound_track"'
    stream = f"<Stream url={quoteattr(incoming.stream_url)} {attributes}>{_parameters(incoming)}</Stream>"
    return _xml(f"<Connect>{stream}</Connect>", f"<Redirect>{escape(incoming.next_url)}</Redirect>")


def _plivo(incoming: Incoming) -> str:
    attributes = 'bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000"'
    stream = f"<Stream {attributes}>{escape(incoming.stream_url)}</Stream>"
    return _xml(stream, f"<Redirect>{escape(incoming.next_url)}</Redirect>")


def _jambonz(incoming: Incoming) -> str:
    listen = {
        "verb": "listen",
        "url": incoming.stream_url,
        "actionHook": incoming.next_url,
        "mixType": "mono",
        "sampleRate": 8_000,
        "passDtmf": True,
        "bidirectionalAudio": {"enabled": True, "streaming": True, "sampleRate": 8_000},
    }
    return json.dumps([listen])


def _twilio_next(target: str | None) -> str:
    return _xml("<Hangup/>" if target is None else f"<Dial>{_dialled(target)}</Dial>")


def _dialled(target: str) -> str:
    return f"<Sip>{escape(target)}</Sip>" if target.startswith(("sip:", "sips:")) else escape(target)


def _plivo_next(target: str | None) -> str:
    if target is None:
        return _xml("<Hangup/>")
    kind = "User" if target.startswith(("sip:", "sips:")) else "Number"
    return _xml(f"<Dial><{kind}>{escape(target)}</{kind}></Dial>")


def _jambonz_next(target: str | None) -> str:
    if target is None:
        return json.dumps([{"verb": "hangup"}])
    kind = {"type": "sip", "sipUri": target} if target.startswith(("sip:", "sips:")) else None
    return json.dumps([{"verb": "dial", "target": [kind or {"type": "phone", "number": target}]}])


ANSWERS: Mapping[Bridge, Answers] = {
    "twilio": Answers("text/xml", "CallSid", _twilio, _twilio_next),
    "telnyx": Answers("text/xml", "CallSid", _telnyx, _twilio_next),
    "plivo": Answers("text/xml", "CallUUID", _plivo, _plivo_next),
    "jambonz": Answers("application/json", "call_sid", _jambonz, _jambonz_next),
    # Its dialplan reads a line of text: the uuid for AudioSocket(), and the target of a Dial(), or nothing.
    "asterisk": Answers("text/plain", "uuid", lambda incoming: incoming.token, lambda target: target or ""),
}
