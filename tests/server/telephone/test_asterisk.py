"""A SIP call in PCMU through Asterisk, configured as docs/telephone.md says, into Morgan and back."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.call.state import State
from tests.docs.fences import block_that_begins
from tests.media.calls import until
from tests.server.telephone.bridge import LOUD, SILENCE, mu_law
from tests.server.telephone.running import KEY, Mind, serving_lines
from tests.upstream import Server as Upstream

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (shutil.which("asterisk") and shutil.which("sipp")), reason="there is no Asterisk, or no SIPp (sip-tester)"
    ),
]

CLIPS = Path(__file__).parents[2] / "clips"

MODULES = """res_pjproject res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjsip
res_pjsip_session res_pjsip_sdp_rtp res_pjsip_pubsub
res_pjsip_endpoint_identifier_ip res_pjsip_caller_id res_rtp_asterisk chan_pjsip codec_ulaw codec_alaw
res_timing_timerfd pbx_config res_curl func_curl func_uri func_callerid func_logic app_dial
res_audiosocket app_audiosocket
app_mixmonitor format_wav bridge_simple app_verbose"""

SCENARIO = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
INVITE sip:100@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:5550123@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:100@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:5550123@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=ptime:20
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: <sip:5550123@[local_ip]:[local_port]>;tag=[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0
  ]]></send>
  <nop><action><exec rtp_stream="SOUND,1,0,PCMU/8000"/></action></nop>
  <recv request="BYE" timeout="120000"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0
  ]]></send>
</scenario>
"""


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def asterisk(folder: Path, page: Path, sip_port: int, url: str, audio_socket: int) -> AsyncIterator[None]:
    """A PBX of our own, as the page configures it, on other ports; it takes down what it sends to the caller."""
    for name in ("etc", "var", "run", "log", "spool"):
        (folder / name).mkdir()
    places = {"astetcdir": "etc", "astvarlibdir": "var", "astdbdir": "var", "astrundir": "run", "astlogdir": "log"}
    places |= {"astspooldir": "spool", "astkeydir": "var"}
    directories = "".join(f"{name} => {folder / place}\n" for name, place in places.items())
    modules = "".join(f"load = {name}.so\n" for name in MODULES.split())
    sip = block_that_begins(page, "[udp]").replace("0.0.0.0:5060", f"127.0.0.1:{sip_port}")
    plan = block_that_begins(page, "[globals]").replace("http://127.0.0.1:8000", url).replace("the-key", KEY)
    plan = plan.replace("127.0.0.1:9092", f"127.0.0.1:{audio_socket}")
    # Beside what the page says: what the caller hears is written down.
    plan = plan.replace(",1,Answer()\n", f",1,Answer()\n same => n,MixMonitor(both.wav,t({folder / 'heard.wav'}))\n")
    files = {
        "asterisk.conf": f"[directories]\n{directories}",
        "modules.conf": f"[modules]\nautoload=no\n{modules}",
        "logger.conf": "[logfiles]\nmessages => notice,warning,error,verbose\n",
        "pjsip.conf": sip,
        "extensions.conf": plan,
        "rtp.conf": "[general]\nrtpstart=20000\nrtpend=20100\n",
    }
    for name, text in files.items():
        (folder / "etc" / name).write_text(text)
    with (folder / "console.log").open("wb") as console:
        command = ["asterisk", "-fvvv", "-C", str(folder / "etc" / "asterisk.conf")]
        process = await asyncio.create_subprocess_exec(*command, stdout=console, stderr=console)
        log = folder / "log" / "messages"
        try:
            await until(lambda: log.exists() and "Asterisk Ready" in log.read_text())
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(20):
                await process.wait()


async def test_a_sip_phone_is_greeted_heard_answered_and_passed_on_through_asterisk(
    models_dir: Path, repository: Path, tmp_path: Path
) -> None:
    upstream = Upstream()
    await upstream.start()
    mind = Mind()
    mind.asks = [("transfer_call", '{"to": "sales"}')]
    upstream.chat = mind
    said = tmp_path / "said.ulaw"
    said.write_bytes(SILENCE * 300 + mu_law(CLIPS / "question.wav") + SILENCE * 3_000)
    scenario = tmp_path / "caller.xml"
    scenario.write_text(SCENARIO.replace("SOUND", str(said)))
    page = repository / "docs" / "telephone.md"
    sip_port, audio_socket = free_udp_port(), free_udp_port()
    folder = tmp_path / "asterisk"
    folder.mkdir()
    try:
        async with (
            serving_lines(upstream.url, models_dir, tmp_path / "data", audio_socket_port=audio_socket) as server,
            asterisk(folder, page, sip_port, server.url, audio_socket),
        ):
            command = ["sipp", f"127.0.0.1:{sip_port}", "-sf", str(scenario), "-m", "1", "-i", "127.0.0.1"]
            command += ["-p", str(free_udp_port()), "-mp", "21000", "-nostdin"]
            caller = await asyncio.create_subprocess_exec(
                *command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await until(lambda: server.registry.active)
            (call,) = server.registry.active
            async with asyncio.timeout(120):
                assert await caller.wait() == 0
            await until(lambda: call.state is State.ENDED)
            assert (call.kind, call.ended_reason) == ("telephone", "transferred")
            turns = [(turn.role, turn.text) for turn in call.record.turns.values()]
            assert [role for role, _ in turns] == ["assistant", "user", "assistant"], turns
            assert "how are you" in turns[1][1].lower()
    finally:
        await upstream.stop()
    # Where the caller is to be connected to was asked for, and dialled.
    assert "PJSIP/+15550100@phone" in (folder / "log" / "messages").read_text()
    heard, rate = soundfile.read(folder / "heard.wav", dtype="int16")
    loud = np.abs(heard) > LOUD
    assert rate == 8_000
    # The greeting before the question, the answer behind it.
    assert loud[: 6 * rate].sum() > 2_000
    assert loud[6 * rate :].sum() > 2_000
