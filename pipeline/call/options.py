"""Options of a call: what can differ from one to the next."""

from dataclasses import dataclass, field

from pipeline.call.context import INSTRUCTIONS
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import ToolSpec
from pipeline.text.phrases import (
    APOLOGIES,
    FAREWELLS,
    IDLE_PROMPTS,
    PHRASES,
    UNCLEAR,
    OwnPhrases,
    PhraseName,
    phrase_in,
)
from pipeline.tools.toolbox import NO_TOOLS, Toolbox


@dataclass(slots=True)
class CallOptions:
    """Options of one call. They are the call's own, and only its machine changes them (`OptionsChanged`).

    Attributes:
        user_id: whose call it is.
        user_name: what the user is called; "" where that is not known.
        time_zone: where the user is, IANA; "" for that of this machine.
        conversation_id: the conversation that it belongs to.
        language: ISO 639-1 code that the user's speech is in, whatever it sounds like; None or "" to listen.
        expected_language: the one that it is likely to be in, from what is known of the user; see `CallLanguage`.
        instructions: how Morgan should be.
        voice: id of the voice that says everything; None for one of the call's language, else the default.
        speed: of speech, 1 is natural.
        greeting: said when the call stands; empty for none.
        idle_prompt: said after the silence set in `turn_taking`.
        apology: said when an engine failed.
        farewell: said when the call itself failed and has to end; empty for nothing.
        shutdown_prompt: said when a restart of the server is about to end a call that cannot go on; empty for nothing.
        owed_reply: where the conversation ends with words of the user, they are answered as soon as the call stands.
        unclear_prompt: said when somebody spoke and no words could be made out; empty for none.
        unclear_prompts: how often in a row; then the call waits for a turn that can be understood.
        max_tokens: most tokens of a reply.
        short_replies: whether replies end with a sentence once they are as long as the question asks (`ReplyLength`).
        temperature: of the language model.
        interim: whether interim transcripts are made while the user speaks.
        transcript_s: seconds that a transcript is expected to take, until the call has seen how long one takes.
        known_transcript_s: seconds that a transcript was measured to take on this machine; None where it was not.
        known_sound_s: the same of the first sound of a sentence.
        look_ahead: whether transcripts are made all the time while the user speaks, and answers begun from them.
        speculate: whether work begins at the early silence; off, it begins at the commit.
        duck_gain: loudness of a reply while somebody may be speaking over it.
        turn_taking: the policy's settings.
        tools: what the language model may do.
        client_tools: what it may ask of the client, who answers in its own time.
        tool_choice: see `ChatRequest.tool_choice`.
        parallel_tool_calls: see `ChatRequest.parallel_tool_calls`.
        fixed: names of options that no wish of the client changes, because its token says them.
        approval: names of `tools` that run only after the client has approved of each call.
        hears_turns: turns are found in the sound; off, the client says where they end.
        answers_turns: every turn is answered; off, the client asks for replies.
        interruptible: replies end when the user speaks over them; off, nothing is heard while they sound.
        speaks: replies are spoken; off, they are text.
        idle_replies: at the silence of `idle_prompt_s` the language model says something, in place of `idle_prompt`.
        stt_prompt: names and style that transcripts are to follow.
        record_inputs: whether what the call is told is written down, to be replayed; see `pipeline.call.replay`.
        tool_filler: said when tools or thoughts of the language model take their time; "" for nothing.
        filler_after_s: after so long.
        delay_apology: said when an engine gives no sign of itself; "" for nothing.
        delay_apology_after_s: so long after the end of the user's turn.
        phrases: what is said in single languages in place of the texts above, see `phrase`.
    """

    user_id: str = "anonymous"
    user_name: str = ""
    time_zone: str = ""
    conversation_id: str = ""
    language: str | None = None
    expected_language: str | None = None
    instructions: str = INSTRUCTIONS
    voice: str | None = None
    speed: float = 1.0
    greeting: str = ""
    idle_prompt: str = IDLE_PROMPTS["en"]
    apology: str = APOLOGIES["en"]
    farewell: str = FAREWELLS["en"]
    shutdown_prompt: str = ""
    owed_reply: bool = False
    unclear_prompt: str = UNCLEAR["en"]
    unclear_prompts: int = 2
    max_tokens: int = 320
    short_replies: bool = True
    temperature: float = 0.0
    interim: bool = True
    transcript_s: float = 0.15
    known_transcript_s: float | None = None
    known_sound_s: float | None = None
    look_ahead: bool = False
    speculate: bool = True
    duck_gain: float = 0.25
    turn_taking: TurnTakingConfig = field(default_factory=TurnTakingConfig)
    tools: Toolbox = NO_TOOLS
    client_tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    fixed: tuple[str, ...] = ()
    approval: tuple[str, ...] = ()
    hears_turns: bool = True
    answers_turns: bool = True
    interruptible: bool = True
    speaks: bool = True
    idle_replies: bool = False
    stt_prompt: str = ""
    record_inputs: bool = False
    tool_filler: str = ""
    filler_after_s: float = 1.0
    delay_apology: str = ""
    delay_apology_after_s: float = 3.5
    phrases: OwnPhrases = field(default_factory=dict)

    def phrase(self, name: PhraseName, language: str) -> tuple[str, str | None]:
        """What the call says by itself, in a language (ISO 639-1), and which one it is in; see `phrase_in`."""
        return phrase_in(name, getattr(self, name, PHRASES[name].get("en", "")), language, self.phrases)
