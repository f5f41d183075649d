"""The offer, read and checked (RFC 8866, RFC 9429, RFC 8843 for BUNDLE).

Parsing is aiortc's. What it is given has been cut down first to the attributes that a voice call needs, because an
offer is the first thing that a stranger gets to send: bounded lines, bounded payload types, nothing quadratic.
"""

import re

from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS, RTCDtlsFingerprint
from aiortc.sdp import MediaDescription, SessionDescription, grouplines

from media.codecs import AudioCodec
from media.offer import DataChannelOffer, Offer, Section
from media.opus_format import OpusWish, read_wish
from media.sdp_audio import NEEDED, offered_codec, offers_opus
from media.sdp_ice import candidates_in, ice_credentials
from media.values import InvalidOfferError

MAX_OFFER = 64 * 1024
"""Characters."""
MAX_SECTIONS = 32
MAX_LINES = 3000
MAX_PAYLOAD_TYPES = 128

_KEPT_SESSION_LINES = re.compile(r"[vost]=|a=(fingerprint|ice-lite|ice-pwd|ice-ufrag|group)(:|$)")
_KEPT_MEDIA_LINES = re.compile(
    r"a=((fingerprint|ice-pwd|ice-ufrag|max-message-size|mid|sctp-port|rtpmap|fmtp):"
    r"|(inactive|sendonly|recvonly|sendrecv)$)"
)
_TOKEN = re.compile(r"[!-~]{1,64}")
_FORMAT = re.compile(r"a=(rtpmap|fmtp):(\d{1,3}) ", re.ASCII)
_RTPMAP = re.compile(r"[!-.0-~]{1,64}/\d{1,9}(/\d{1,3})?", re.ASCII)


def parse_offer(sdp: str) -> Offer:
    """Read an offer.

    Raises:
        InvalidOfferError: it is malformed or asks for what cannot be given; the message says what is wrong.
    """
    if len(sdp) > MAX_OFFER:
        raise InvalidOfferError(f"the offer is too long: {len(sdp)} characters, at most {MAX_OFFER} are taken")
    session_lines, media_groups = grouplines(sdp)
    if not session_lines or session_lines[0].strip() != "v=0":
        raise InvalidOfferError("the offer is no SDP: it does not begin with v=0")
    if len(media_groups) > MAX_SECTIONS or sum(map(len, media_groups)) + len(session_lines) > MAX_LINES:
        raise InvalidOfferError(f"the offer is too large: at most {MAX_SECTIONS} m-lines and {MAX_LINES} lines")
    session = _parse_session(session_lines, media_groups)
    audio_index, answering_index = _find_audio(session)
    audio = session.media[audio_index]
    bundle = _bundle_of(session, audio)
    sections = tuple(
        _section(media, group, bundled=media is audio or media.rtp.muxId in bundle)
        for media, group in zip(session.media, media_groups, strict=True)
    )
    if not sections[answering_index].bundled:
        raise InvalidOfferError("the audio to hear and the audio to send are not in one BUNDLE group: name both in it")
    # Bundled m-lines may leave the transport's attributes to the one that the group names first (RFC 8843 section 7.1).
    transports = [audio, *(media for media in session.media if bundle and media.rtp.muxId == bundle[0])]
    ufrag, password = ice_credentials(transports)
    answering_codec = _codec(session.media[answering_index])
    return Offer(
        session_id=_session_id(session),
        sections=sections,
        audio_index=audio_index,
        codec=_codec(audio),
        direction=_direction(audio),
        answering_index=answering_index,
        answering_codec=answering_codec,
        opus=_wish(media_groups[answering_index], answering_codec),
        data_channel=_data_channel(session, sections),
        ice_ufrag=ufrag,
        ice_password=password,
        ice_lite=bool(audio.ice and audio.ice.iceLite),
        fingerprints=_fingerprints(transports),
        setup=_setup(session_lines, media_groups[audio_index]),
        candidates=candidates_in(
            group for group, section in zip(media_groups, sections, strict=True) if section.bundled
        ),
    )


def _parse_session(session_lines: list[str], media_groups: list[list[str]]) -> SessionDescription:
    kept = [line for line in session_lines if _KEPT_SESSION_LINES.match(line)]
    for group in media_groups:
        kept += _kept_media_lines(group)
    try:
        return SessionDescription.parse("\r\n".join(kept) + "\r\n")
    except Exception as error:
        # aiortc's parser asserts, indexes and converts as it goes: any exception of it means a malformed line.
        detail = f"{type(error).__name__} {error}".strip()
        raise InvalidOfferError(f"the offer is malformed SDP ({detail})") from error


def _kept_media_lines(group: list[str]) -> list[str]:
    """The lines of an m-section that matter, without formats that its m-line does not list."""
    fields = group[0].split()
    if len(fields) < 4 or len(fields) - 3 > MAX_PAYLOAD_TYPES:
        raise InvalidOfferError(f"malformed m-line: {group[0][:80]!r}")
    if not fields[1].isascii() or not fields[1].isdigit() or int(fields[1]) > 65535:
        raise InvalidOfferError(f"malformed port in m-line: {group[0][:80]!r}")
    offered = set(fields[3:])
    mapped: set[str] = set()
    kept = [" ".join(fields)]
    for line in group[1:]:
        line = line.rstrip()
        if not _KEPT_MEDIA_LINES.match(line):
            continue
        if line.startswith(("a=rtpmap:", "a=fmtp:")):
            found = _FORMAT.match(line)
            if fields[0] != "m=audio" or found is None or found[2] not in offered:
                continue
            if found[1] == "rtpmap":
                if found[2] in mapped:
                    continue
                mapped.add(found[2])
        kept.append(line)
    # A format without rtpmap is a static one (RFC 3551); its fmtp line would be an error to the parser.
    kept = [line for line in kept if not (found := _FORMAT.match(line)) or found[2] in mapped]
    # The offered a=setup is read by `_setup`; aiortc forgets the fingerprints of an m-section that has none.
    return [*kept, "a=setup:actpass"]


def _find_audio(session: SessionDescription) -> tuple[int, int]:
    """The m-lines on which we hear the offerer and they hear us: one that does both, or a pair (sendonly, recvonly).

    A single one may do either alone. An offer of two expects a conversation, and a call that is deaf or mute without a
    word is none.
    """
    audio = [i for i, media in enumerate(session.media) if media.kind == "audio"]
    if not audio:
        raise InvalidOfferError("the offer has no audio: an m=audio line is needed")
    known = [i for i in audio if offered_codec(session.media[i]) is not None]
    if not known:
        raise InvalidOfferError(f"the offer has no Opus and no G.711: {NEEDED}")
    active = [i for i in audio if session.media[i].port != 0 and session.media[i].direction != "inactive"]
    usable = sorted((i for i in active if i in known), key=lambda i: not offers_opus(session.media[i]))
    if not usable:
        raise InvalidOfferError("the offered audio is disabled: port 0 or a=inactive")
    both, sent, received = (next((i for i in usable if _direction(session.media[i]) == way), None) for way in _WAYS)
    if both is not None:
        sent = received = both
    elif len(active) > 1 and (sent is None or received is None):
        lacking, call = ("a=recvonly", "mute") if received is None else ("a=sendonly", "deaf")
        message = f"of {len(active)} m=audio lines none with Opus or G.711 is a=sendrecv or {lacking}: "
        raise InvalidOfferError(f"{message}the call would be {call}")
    heard, answered = (received if sent is None else sent), (sent if received is None else received)
    assert heard is not None
    assert answered is not None
    for profile in (session.media[heard].profile, session.media[answered].profile):
        if "RTP/SAVP" not in profile:
            raise InvalidOfferError(f"the audio is not encrypted: {profile} instead of UDP/TLS/RTP/SAVPF")
    return heard, answered


_WAYS = ("sendrecv", "sendonly", "recvonly")


def _direction(audio: MediaDescription) -> str:
    return audio.direction or "sendrecv"


def _session_id(session: SessionDescription) -> str:
    fields = (session.origin or "").split()
    return " ".join(fields[:2])


def _codec(audio: MediaDescription) -> AudioCodec:
    codec = offered_codec(audio)
    assert codec is not None
    return codec


def _wish(group: list[str], codec: AudioCodec) -> OpusWish:
    return read_wish(group, codec.payload_type) if codec.name == "opus" else OpusWish()


def _bundle_of(session: SessionDescription, audio: MediaDescription) -> tuple[str, ...]:
    """The mids that share the transport of the audio, the tagged one first (RFC 8843 section 7.3)."""
    mids = [media.rtp.muxId for media in session.media if media.rtp.muxId]
    if len(mids) != len(set(mids)):
        raise InvalidOfferError("two m-lines have the same a=mid")
    if any(not _TOKEN.fullmatch(mid) for mid in mids):
        raise InvalidOfferError("malformed a=mid")
    for group in session.group:
        if group.semantic == "BUNDLE" and audio.rtp.muxId in group.items:
            return tuple(str(item) for item in group.items)
    return ()


def _section(media: MediaDescription, group: list[str], *, bundled: bool) -> Section:
    formats = tuple(str(item) for item in media.fmt)
    if not all(_TOKEN.fullmatch(text) for text in (media.kind, *formats)):
        raise InvalidOfferError(f"malformed m-line: {group[0][:80]!r}")
    first = f"a=rtpmap:{formats[0]} "
    rtpmap = next((line[len(first) :].strip() for line in group[1:] if line.startswith(first)), None)
    bundle_only = any(line.strip() == "a=bundle-only" for line in group[1:])
    return Section(
        kind=media.kind,
        mid=media.rtp.muxId or None,
        profile=media.profile,
        formats=formats,
        rtpmap=rtpmap if rtpmap and _RTPMAP.fullmatch(rtpmap) else None,
        disabled=media.port == 0 and not bundle_only,
        bundled=bundled,
    )


def _fingerprints(transports: list[MediaDescription]) -> tuple[RTCDtlsFingerprint, ...]:
    for media in transports:
        found = tuple(media.dtls.fingerprints) if media.dtls else ()
        usable = [f for f in found if f.algorithm.lower() in X509_DIGEST_ALGORITHMS]
        if len(found) > 16 or any(not re.fullmatch(r"[0-9A-Fa-f:]{95,191}", f.value) for f in usable):
            raise InvalidOfferError("malformed a=fingerprint")
        if usable:
            return found
    raise InvalidOfferError("the offer has no fingerprint: a=fingerprint:sha-256 ... is needed (RFC 8122)")


def _setup(session_lines: list[str], audio_lines: list[str]) -> str:
    setup = "actpass"
    for line in (*session_lines, *audio_lines):
        if line.startswith("a=setup:"):
            setup = line[8:].strip()
    if setup not in ("actpass", "active", "passive"):
        raise InvalidOfferError(f"a=setup:{setup[:40]} cannot be answered")
    return setup


def _data_channel(session: SessionDescription, sections: tuple[Section, ...]) -> DataChannelOffer | None:
    for index, (media, section) in enumerate(zip(session.media, sections, strict=True)):
        if media.kind != "application" or not section.bundled or section.disabled:
            continue
        if "DTLS/SCTP" not in media.profile or "webrtc-datachannel" not in section.formats:
            continue
        sctp_port = 5000 if media.sctp_port is None else media.sctp_port
        # RFC 8841 section 6.1: 64 KiB when the offerer does not say.
        size = 65536 if media.sctpCapabilities is None else media.sctpCapabilities.maxMessageSize
        if not 0 < sctp_port < 65536 or not 0 <= size < 1 << 32:
            raise InvalidOfferError("malformed a=sctp-port or a=max-message-size")
        return DataChannelOffer(index=index, sctp_port=sctp_port, max_message_size=size)
    return None
