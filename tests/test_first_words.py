"""`static/morgan/first_words.js` in virtual time: every word is sent once, in order; lateness goes by pauses alone."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.npm_clients import node

MODULE = Path(__file__).parents[1] / "static" / "morgan" / "first_words.js"

SIMULATION = """
const [module, wanted] = process.argv.slice(2);
const { spoken, connected, end, blind, slow } = JSON.parse(wanted);
let now = 0, look = () => {}, late = 0, sending = "nothing", closed = false, change = null;
globalThis.performance = { now: () => now };
globalThis.setInterval = (tick) => ((look = tick), 1);
globalThis.clearInterval = () => (look = () => {});
const node = () => ({ connect: (to) => to, disconnect() {} });
const context = {
  get currentTime() { return now / 1000; },
  createMediaStreamSource: node,
  createDelay: () => ({ ...node(), delayTime: { setValueAtTime: (s) => (late = s * 1000) } }),
  createMediaStreamDestination: () => ({ stream: { getAudioTracks: () => ["late"], getTracks: () => [] } }),
};
const { FirstWords } = await import(module);
const speaks = (at) => spoken.some(([from, to]) => at >= from && at < to);
const words = new FirstWords(context, {}, () => (speaks(now) ? 0.1 : 0.0001));
const caughtUp = () => {
  sending = "microphone";
  change = null;
  closed = true;
  words.close();
};
const heard = [], lateness = [];
for (; now < end; now += 10) {
  if (now === connected) words.release((track) => (change = { track, at: now + slow }), caughtUp);
  if (change && now >= change.at) [sending, change] = [change.track, null];
  if (now % 50 === 0 && !(blind && now >= blind[0] && now < blind[1])) look();
  const said = sending === "late" ? now - late : sending === "microphone" ? now : null;
  if (said !== null && speaks(said)) heard.push(Math.round(said / 10) * 10);
  lateness.push(sending === "late" ? late : 0);
}
const caughtUpAt = lateness.findLastIndex((ms) => ms > 0) * 10;
console.log(JSON.stringify({ heard, closed, longest: Math.max(...lateness), caughtUpAt }));
"""


def simulate(
    spoken: list[tuple[int, int]],
    connected: int,
    end: int = 20_000,
    blind: tuple[int, int] | None = None,
    slow: int = 0,
) -> dict[str, object]:
    """A call in steps of 10 ms: when somebody speaks, when there is a connection, when the page is not run, how long
    the sender takes to change its track (all in ms).

    Gives the moments of speech that were sent, in order; whether the microphone is sent as it is in the end; how late
    it was at most; and until when.
    """
    given = json.dumps({"spoken": spoken, "connected": connected, "end": end, "blind": blind, "slow": slow})
    command = [node(), "--input-type=module", "-", MODULE.as_uri(), given]
    done = subprocess.run(command, input=SIMULATION, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def moments(spoken: list[tuple[int, int]]) -> list[int]:
    return [at for begin, end in spoken for at in range(begin, end, 10)]


@pytest.mark.parametrize(
    ("spoken", "connected"),
    [
        ([(300, 1500)], 2000),
        ([(300, 1500)], 900),
        ([(300, 700), (900, 1300), (3000, 4000)], 2000),
        ([(300, 600), (4000, 4600), (5200, 9000), (9100, 9500)], 5000),
        ([(2000, 3000)], 1000),
        ([(500, 900), (1000, 1400), (1500, 1900), (2050, 2500)], 1200),
    ],
)
def test_every_word_is_sent_once_and_in_order(spoken: list[tuple[int, int]], connected: int) -> None:
    result = simulate(spoken, connected)
    assert result["heard"] == moments(spoken)
    assert result["closed"]


def test_who_has_said_nothing_is_sent_at_once() -> None:
    result = simulate([(2000, 3000)], 1000)
    assert result["longest"] == 0


def test_a_pause_is_cut_short_and_then_nothing_is_late() -> None:
    result = simulate([(300, 1500), (4000, 5000)], 3000)
    assert 2500 < int(str(result["longest"])) < 3000
    assert int(str(result["caughtUpAt"])) < 6000  # 7850 without the cut


def test_what_is_said_while_the_browser_does_not_run_the_page_is_not_cut() -> None:
    spoken = [(300, 3000)]
    assert simulate(spoken, 2000, blind=(900, 1900))["heard"] == moments(spoken)


def test_of_a_long_wait_the_end_is_kept() -> None:
    heard = simulate([(0, 15_000)], 15_000, end=40_000)["heard"]
    assert isinstance(heard, list)
    assert heard == list(range(heard[0], 15_000, 10))
    assert 5000 <= heard[0] <= 5500


def test_a_sender_that_changes_its_track_slowly_costs_no_word() -> None:
    spoken = [(300, 1500)]
    assert simulate(spoken, 2000, slow=200)["heard"] == moments(spoken)
