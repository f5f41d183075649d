"""`morgan bench`: every number that the README claims, as a command that prints it."""

import importlib
import sys

import aiohttp
import typer

from pipeline.processor import this_machine

BENCHES = {
    "hearing": (
        "bench.hearing",
        "Real clips: answered, doubled, language, word error and time against beam 5 on 30 s.",
    ),
    "telephone-words": (
        "bench.telephone_words",
        "Word error of real clips over a telephone line against the same clips wide-band.",
    ),
    "capacity": ("bench.capacity", "1, 2, 4, 8 callers: answered, p50, p95, processor time of a turn by stage."),
    "peers": ("bench.peers.side_by_side", "Morgan and Pipecat in turns, one run, one machine, one caller."),
    "voice-to-voice": ("bench.voice_to_voice", "From the last word of a question to the first sound of the answer."),
    "doors": ("bench.doors", "Voice to voice through each door by turns, as differences to POST /api/calls."),
    "split": ("bench.split", "What four processes cost over one: voice to voice of both, by turns."),
    "interruptions": ("bench.interruptions", "Speech, coughs and echo over a reply."),
    "turns": ("bench.turns", "Which pauses of real speech are taken for the end of a turn."),
    "waits": ("bench.waits", "Real clips: wait behind the last sound, answers before it, ends that are lost."),
    "stalls": ("bench.stalls", "Words that are lost when the caller's audio stalls and comes in a burst."),
    "idle": ("bench.idle_calls", "What a connected silent call costs, and what calls leave behind."),
    "api": ("bench.api_fuzz", "Requests made from the API's own description, good and bad, on all ports."),
    "page-sound": ("bench.page_sound", "From the first packet with sound to sound out of the call page, in Chromium."),
    "loss": ("bench.loss", "How the voice sounds where packets are lost, with FEC and without, beside stock aiortc."),
    "media": ("bench.media_cores", "Microseconds per frame of the audio cores."),
    "kills": ("bench.kills", "A database and then the server killed in mid-call: is every turn there afterwards?"),
    "chaos": (
        "bench.chaos",
        "Stores killed or refusing, a full disk, the clock set back, a broken model, in mid-call.",
    ),
    "abuse": ("bench.abuse", "200 clients send the worst of each kind while two calls talk: memory, ticks, turns."),
    "memory": ("bench.memory", "Writing on the event loop, and reading with 100,000 messages stored."),
    "hit-rate": ("bench.hit_rate", "How often the fast tiers answer, counted three times."),
    "documents": (
        "bench.documents",
        "Questions to a document of fifty pages: is the right passage in the prompt, how soon?",
    ),
    "memory-latency": ("bench.memory_latency", "What memory adds to voice to voice, beside conversations in writing."),
    "engines": ("bench.engines", "Milliseconds of each speech engine."),
    "speech": ("bench.speech", "First audio of a long text from the speech service, and a repeated one."),
    "minds": ("bench.minds", "Sixty questions to language models: how many right, how soon, how long, by kind."),
    "llama-builds": ("bench.llama_builds", "The builds of llama.cpp in turns, in one run, as ratios."),
    "language-model": ("bench.language_model", "First token and tokens per second of the language model."),
}

app = typer.Typer(
    no_args_is_help=True, help="Every published number, measured here. Options: `morgan bench NAME --help`."
)


def _register(name: str, module: str, about: str) -> None:
    @app.command(
        name,
        help=about,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def run(context: typer.Context) -> None:
        sys.argv = [f"morgan bench {name}", *context.args]
        # Not to stdout: that is for the report alone, which is JSON in most of them.
        typer.echo(f"# {this_machine().describe()}", err=True)
        try:
            importlib.import_module(module).main()
        except aiohttp.ClientConnectorError as error:
            where = f"http://{error.host}:{error.port}"
            typer.echo(f"No Morgan answers at {where}. Start one with `make serve`, or name its --url.", err=True)
            raise typer.Exit(1) from None


for _name, (_module, _about) in BENCHES.items():
    _register(_name, _module, _about)
