"""Random inputs in random order: a call never gets stuck, loses a turn, or speaks when told not to.

No input leads to a trigger that the state table does not know where the call is: `VirtualCall.post` raises if one does.

Every sequence is a list of small integers and floats. What fails is printed, in its shortest form, as the arguments of
the test; `run` plays them again in virtual time, always with the same outcome, and so does the printed
`@reproduce_failure` line above the test.
`RANDOM_SEQUENCES=10000` (and `--timeout=7200`) plays so many of them.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.audio import SPEECH_RATE
from pipeline.call.effects import Generate, Synthesize, Transcribe
from pipeline.call.events import CallEnded, PlaybackStarted, ReplyCreated, ReplyDone, TranscriptCompleted, TurnCommitted
from pipeline.call.inputs import (
    Connected,
    HangUp,
    KeyPressed,
    PieceEnded,
    PieceSpoken,
    PlayoutDrained,
    PlayoutStarted,
    PlayoutStarved,
    Remembered,
    ReplyText,
    ReplyTextEnded,
    StopReply,
    ToolRan,
    ToolsAsked,
    Transcribed,
    TurnScored,
    UserTyped,
)
from pipeline.call.options import CallOptions
from pipeline.call.state import TRANSITIONS, CallPhase, Phase, State, Trigger
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import SpeechChunk, ToolCall, Transcript
from pipeline.text.phrases import DELAYS
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox, ToolResult
from tests.pipeline.call.simulation import Delays, Say, Simulation
from tests.pipeline.call.stalling_call import StallingCall
from tests.thorough import SEQUENCES

ENOUGH = 100
"""Sequences that between them come to everything that can change the phase of a call: chance finds it all in 35."""


@pytest.fixture(scope="module", autouse=True)
def reached() -> Iterator[set[Trigger]]:
    """What has changed the phase of a call so far."""
    found: set[Trigger] = set()
    change = CallPhase.change

    def noting(phase: CallPhase, trigger: Trigger) -> bool:
        changed = change(phase, trigger)
        if changed:
            found.add(trigger)
        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallPhase, "change", noting)
        yield found


utterance = st.tuples(
    st.floats(0.05, 2.0),  # pause before
    st.floats(0.1, 2.5),  # length
    st.sampled_from(["", "mhm", "stop", "what is the weather", "in Paris today?", "I think that", "Thank you."]),
    st.sampled_from([0.02, 0.3, 0.6, 0.95]),  # completeness
)
stray = st.tuples(st.floats(0.0, 12.0), st.integers(0, 17), st.integers(0, 6))
stall = st.tuples(st.floats(0.5, 12.0), st.floats(0.1, 5.0), st.booleans())
delay = st.sampled_from([0.01, 0.1, 0.4, 1.5])
slow = st.sampled_from([0.01, 0.01, 0.1, 0.1, 0.4, 0.4, 1.5, 1.5, 17.0, 25.0])


ASKED = ToolCall("call_1", "weather", "{}")
TOOLS = Toolbox([ToolDeclaration(name="weather", description="x", function="builtins:dict")])


def script_of(utterances: list[tuple[float, float, str, float]]) -> list[Say]:
    """Utterances one after the other."""
    script, second = [], 0.5
    for pause, length, text, score in utterances:
        script.append(Say(second + pause, second + pause + length, text, score))
        second += pause + length
    return script


def stray_input(kind: int, number: int) -> object:
    """An input that nobody asked for: late results, results of others, repeated playout events."""
    silence = SpeechChunk(np.zeros(SPEECH_RATE // 10, np.int16))
    name = f"resp_{number}"
    return [
        ReplyText(name, " stray"),
        ReplyTextEnded(name),
        PieceSpoken(name, 99, silence),
        PieceEnded(name, 99),
        Transcribed(number, Transcript("stray words", "en", duration=1.0)),
        Transcribed(number, None),
        TurnScored(number, 0.9),
        PlayoutStarted(0.0, 0),
        PlayoutDrained(0.0, 0),
        PlayoutStarved(0.0, 0),
        StopReply(),
        UserTyped("typed words"),
        ToolsAsked(name, (ASKED,)),
        ToolRan(name, number, ToolResult(ASKED, "stray", failed=False)),
        Remembered(number, ("stray memories",)),
        Connected(),
        KeyPressed("#" if number else "5"),
        KeyPressed("5", taken=True),
    ][kind]


def run(
    utterances: list[tuple[float, float, str, float]],
    strays: list[tuple[float, int, int]],
    delays: tuple[float, float, float, float],
    fail: frozenset[str],
    *,
    speculate: bool,
    tool: float | None = None,
    recall: float | None = 0.0,
    stalls: list[tuple[float, float, bool]] | None = None,
    unasked: bool = False,
    excuses: bool = False,
) -> Simulation:
    """Play a conversation with strays thrown in, then let it settle.

    Args:
        utterances: pause before, length, words and completeness of each.
        strays: second, kind and number of inputs that nobody asked for.
        delays: of speech to text, the turn model, the language model and the voice.
        fail: engines that break.
        speculate: see `CallOptions`.
        tool: seconds that a tool takes; None for no tools.
        recall: seconds that memories take; 0 for none, None for never.
        stalls: second, length, and whether the audio is lost rather than late.
        unasked: Morgan greets, and asks into a silence.
        excuses: Morgan says that something takes a moment, with sound that is at hand.
    """
    stt, turn, llm, tts = delays
    policy = TurnTakingConfig(idle_prompt_s=2.5) if unasked else TurnTakingConfig()
    greeting = "Hello, this is Morgan." if unasked else ""
    call = StallingCall(
        script_of(utterances),
        options=CallOptions(
            speculate=speculate,
            tools=TOOLS,
            greeting=greeting,
            turn_taking=policy,
            delay_apology=DELAYS["en"] if excuses else "",
            known_transcript_s=0.1,
            known_sound_s=0.1,
        ),
        phrases_at_hand=excuses,
        stalls=[(at, at + length) for at, length, lost in stalls or () if not lost],
        swallowed=[(at, at + length) for at, length, lost in stalls or () if lost],
        asks=() if tool is None else (("", ASKED), ("Let me see.", ASKED)),
        reply="It is sunny today. The wind comes from the west.",
        memories=None if recall == 0.0 else ("I live in Rome.",),
        delays=Delays(stt, turn, llm, 0.01, tts=tts, tool=tool, recall=recall),
        fail=fail,
    )
    second = 0.0
    for at, kind, number in sorted(strays):
        call.run(max(0.0, at - second))
        second = max(second, at)
        call.post(stray_input(kind, number))  # type: ignore[arg-type]
    end = max((say.end for say in call.script), default=0.0)
    call.run(max(0.0, end - second) + 45)
    return call


@settings(max_examples=SEQUENCES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(utterance, max_size=5),
    st.lists(stray, max_size=6),
    st.tuples(slow, delay, delay, slow),
    st.frozensets(st.sampled_from(["stt", "turn", "llm", "tts", "tts_midway"]), max_size=1),
    st.booleans(),
    st.sampled_from([None, None, 0.05, 1.5, 7.0]),
    st.sampled_from([0.0, 0.0, 0.01, 0.3, None]),
    st.lists(stall, max_size=2),
    st.booleans(),
    st.booleans(),
)
def test_every_sequence_settles(
    utterances: list[tuple[float, float, str, float]],
    strays: list[tuple[float, int, int]],
    delays: tuple[float, float, float, float],
    fail: frozenset[str],
    speculate: bool,
    tool: float | None,
    recall: float | None,
    stalls: list[tuple[float, float, bool]],
    unasked: bool,
    excuses: bool,
) -> None:
    call = run(
        utterances,
        strays,
        delays,
        fail,
        speculate=speculate,
        tool=tool,
        recall=recall,
        stalls=stalls,
        unasked=unasked,
        excuses=excuses,
    )
    # No stuck state: long after the last input the call listens again.
    assert call.machine.state is State.LISTENING
    # No lost turn: every committed turn was answered or taken up again, every reply that began has ended.
    created = [event.reply_id for event in call.all(ReplyCreated)]
    done = [event.reply_id for event in call.all(ReplyDone)]
    assert sorted(created) == sorted(done)
    answered = len(call.all(ReplyDone))
    assert answered >= len({event.item_id for event in call.all(TurnCommitted)})
    # Context and events tell the same: each turn once, in one piece.
    items = [entry.item_id for entry in call.context.entries]
    assert len(items) == len(set(items))
    last = {event.item_id: event.text for event in call.all(TranscriptCompleted)}
    for entry in call.context.entries:
        if entry.role == "user" and entry.item_id in last:
            assert entry.text == last[entry.item_id]
    # What was asked of a tool has its result behind it, whoever interrupted.
    asked = [call_.id for entry in call.context.entries for call_ in entry.tool_calls]
    assert asked == [entry.tool_call_id for entry in call.context.entries if entry.role == "tool"]
    assert not any(entry.text for entry in call.context.entries if entry.tool_calls)
    # Nothing is left behind in the speaker.
    assert call.playout.written == call.playout.position
    assert not call.audible[-1]


def test_the_sequences_come_to_every_trigger_but_the_end(reached: set[Trigger]) -> None:
    if SEQUENCES < ENOUGH or not reached:
        pytest.skip(f"needs {ENOUGH} sequences or more, played by the test before")
    assert set(Trigger) - {Trigger.ENDED} - reached == set()


def test_a_second_answer_to_a_transcription_that_failed_changes_nothing() -> None:
    call = run([(1.0, 0.25, "", 0.02)], [(4.0, 4, 1)], (0.01,) * 4, frozenset({"stt"}), speculate=False)
    assert len(call.all(ReplyCreated)) == len(call.all(ReplyDone)) == 1
    assert call.all(TurnCommitted) == call.all(TranscriptCompleted) == []


@settings(max_examples=SEQUENCES // 3, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(st.lists(utterance, min_size=1, max_size=4), st.floats(0.5, 12.0), st.booleans())
def test_no_sound_and_no_word_after_a_cancel_or_the_end(
    utterances: list[tuple[float, float, str, float]], at: float, ends: bool
) -> None:
    call = Simulation(script_of(utterances)).run(at)
    before = call.all(ReplyCreated)[-1:]
    call.script = []
    call.post(HangUp("hangup") if ends else StopReply())
    # What was already begun may fade out within one frame; after that there is silence until something new is said.
    told = len(call.events)
    call.run(0.04).run(1.0)
    later = [event for _, event in call.events[told:]]
    if ends:
        assert later == []
        assert isinstance(call.events[-1][1], CallEnded)
        assert call.sounding(at + 0.06, at + 1.0) == 0
    if before:
        again = [e for e in later if isinstance(e, PlaybackStarted) and e.reply_id == before[0].reply_id]
        assert not again or not any(e.reply_id == before[0].reply_id for e in call.all(ReplyDone)[:-1])


def test_the_table_leads_from_every_state_to_the_end_and_from_every_other_back_to_listening() -> None:
    def reachable(phase: Phase) -> set[Phase]:
        found, todo = {phase}, [phase]
        while todo:
            here = todo.pop()
            for (source, _), target in TRANSITIONS.items():
                if source is here and target not in found:
                    found.add(target)
                    todo.append(target)
        return found

    for phase in Phase:
        if phase is not Phase.ENDED:
            assert Phase.ENDED in reachable(phase)
            assert Phase.LISTENING in reachable(phase)


def test_the_same_sequence_gives_the_same_events() -> None:
    play = [(0.5, 1.0, "what is the weather", 0.6), (0.4, 0.8, "in Paris today?", 0.95), (3.0, 0.6, "stop", 0.9)]
    first, second = (run(play, [], (0.1, 0.1, 0.1, 0.1), frozenset(), speculate=True) for _ in range(2))
    assert first.events == second.events
    kinds = (Transcribe, Generate, Synthesize)
    assert [type(work) for work in first.work if isinstance(work, kinds)] == [
        type(work) for work in second.work if isinstance(work, kinds)
    ]
