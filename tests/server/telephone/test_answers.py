"""What bridges are told, in their providers' languages, and where callers go who were passed on."""

import json
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from server.bounds import FOLLOW_UP_S
from server.http.errors import ApiError, errors_as_json
from server.identity.principal import LOCAL, Principal
from server.identity.twilio_signature import is_signed, signature, spellings
from server.routes.telephone import MAX_FIELDS, asked, asked_at
from server.telephone.announced import AnnouncedCall, AnnouncedCalls
from server.telephone.answers import ANSWERS, Bridge, Incoming
from server.telephone.follow_ups import FollowUps
from server.telephone.wishes import LineWishes

URL, NEXT = "wss://example.org/ws/media-stream/x/mt_1", "https://example.org/api/telephone/x/next?token=mt_2&a=b"
INCOMING = Incoming(URL, NEXT, "mt_1", '+1 "<&', "+15550199")


@pytest.mark.parametrize("bridge", ["twilio", "telnyx", "plivo"])
def test_xml_connects_the_call_and_asks_what_comes_then(bridge: Bridge) -> None:
    told = ET.fromstring(ANSWERS[bridge].connect(INCOMING))
    first, then = list(told)
    stream = first if bridge == "plivo" else first[0]
    assert (stream.text if bridge == "plivo" else stream.get("url")) == URL
    assert (then.tag, then.text) == ("Redirect", NEXT)
    if bridge == "twilio":
        assert [(each.get("name"), each.get("value")) for each in stream] == [("from", '+1 "<&'), ("to", "+15550199")]


def test_jambonz_is_told_in_json() -> None:
    (listen,) = json.loads(ANSWERS["jambonz"].connect(INCOMING))
    assert (listen["verb"], listen["url"], listen["actionHook"]) == ("listen", URL, NEXT)
    assert json.loads(ANSWERS["jambonz"].follow(None)) == [{"verb": "hangup"}]
    (dial,) = json.loads(ANSWERS["jambonz"].follow("sip:a@example.org"))
    assert dial["target"] == [{"type": "sip", "sipUri": "sip:a@example.org"}]


@pytest.mark.parametrize(
    ("bridge", "target", "told"),
    [
        ("twilio", "+15550100", "<Dial>+15550100</Dial>"),
        ("twilio", "sip:a@example.org", "<Dial><Sip>sip:a@example.org</Sip></Dial>"),
        ("twilio", None, "<Hangup/>"),
        ("plivo", "+15550100", "<Dial><Number>+15550100</Number></Dial>"),
        ("plivo", None, "<Hangup/>"),
        ("asterisk", "+15550100", "+15550100"),
        ("asterisk", None, ""),
    ],
)
def test_a_caller_is_connected_or_hung_up(bridge: Bridge, target: str | None, told: str) -> None:
    assert told in ANSWERS[bridge].follow(target)
    assert ANSWERS[bridge].follow(target) or target is None


def test_where_a_caller_goes_is_told_once_and_not_for_ever() -> None:
    follow_ups, alice = FollowUps(), Principal("user:alice", frozenset({"calls"}), "alice").reaches
    follow_ups.put("CA1", "alice", "+1")
    follow_ups.put("CA2", "alice", "+2")
    follow_ups.left("CA1", "alice", 10.0)
    follow_ups.left("CA2", "alice", 10.0)
    assert follow_ups.take("CA1", alice, 11.0) == "+1"
    assert follow_ups.take("CA1", alice, 11.0) is None
    assert follow_ups.take("CA2", alice, 11.0 + FOLLOW_UP_S) is None
    follow_ups.put("CA3", "alice", "+3")
    follow_ups.put("CA3", "alice", None)
    assert follow_ups.take("CA3", alice, 11.0) is None


def test_where_a_caller_goes_is_neither_told_to_another_user_nor_changed_by_one() -> None:
    follow_ups = FollowUps()
    alice, bob, backend = (Principal(name or "key:1", frozenset({"calls"}), name) for name in ("alice", "bob", None))
    follow_ups.put("CA1", "alice", "+1")
    # Bob says that a call of his own has this id, and leaves it.
    follow_ups.put("CA1", "bob", None)
    follow_ups.left("CA1", "bob", 10.0)
    assert follow_ups.take("CA1", bob.reaches, 11.0) is None
    assert follow_ups.take("CA1", alice.reaches, 11.0) == "+1"
    follow_ups.put("CA1", "alice", "+1")
    assert follow_ups.take("CA1", backend.reaches, 11.0) == "+1"


def test_an_announced_call_comes_once_and_in_time() -> None:
    calls = AnnouncedCalls()
    call = AnnouncedCall(LOCAL, "somebody", LineWishes())
    first, second = calls.announce(call, 1.0), calls.announce(call, 1.0)
    assert calls.take(first, 2.0) is call
    assert calls.take(first, 2.0) is None
    assert calls.take(second, 2.0 + FOLLOW_UP_S) is None


def test_a_signature_is_that_of_twilios_documentation() -> None:
    """The example of https://www.twilio.com/docs/usage/security#validating-requests, made with its own token."""
    form = [("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234")]
    form += [("From", "+14158675309"), ("To", "+18005551212")]
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert is_signed("12345", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", spellings("http", ["mycompany.com"], url[21:]), form)
    assert not is_signed("12345", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", [url], form[1:])
    assert not is_signed("1234", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", [url], form)


def test_a_request_behind_a_proxy_is_known_by_the_name_that_was_asked_for() -> None:
    shown = signature("token", "wss://morgan.example.org/ws/media-stream")
    hosts = ["127.0.0.1:8000", "morgan.example.org"]
    assert is_signed("token", shown, spellings("http", hosts, "/ws/media-stream"))
    assert not is_signed("token", shown, spellings("http", hosts[:1], "/ws/media-stream"))


@pytest.mark.parametrize("host", ['a"b', "a/b", "a@b", "a b", "<x>", "", "[::1", "a:b:c"])
def test_an_address_that_bridges_are_sent_to_has_the_name_of_a_host_in_it(host: str) -> None:
    asked = make_mocked_request("POST", "/api/telephone/twilio/answer", headers={"X-Forwarded-Host": host})
    with pytest.raises(ApiError, match="MORGAN_TELEPHONE_URL"):
        asked_at(asked)


def test_where_a_proxy_was_asked_is_where_bridges_are_sent() -> None:
    for host in ("morgan.example.org", "10.0.0.7:8443", "[2001:db8::1]:8000"):
        headers = {"X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
        assert asked_at(make_mocked_request("POST", "/x", headers=headers)) == f"https://{host}"


async def test_a_form_of_more_fields_than_bridges_send_is_refused() -> None:
    """It was answered with a 500."""

    async def follow(request: web.Request) -> web.StreamResponse:
        return web.json_response(await asked(request))

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_post("/", follow)
    async with TestClient(TestServer(app)) as client:
        for count, status in ((MAX_FIELDS, 200), (MAX_FIELDS + 1, 400)):
            async with client.post("/", data={f"f{number}": "x" for number in range(count)}) as response:
                assert response.status == status
