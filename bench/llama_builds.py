"""The builds of llama.cpp against each other, in one run: tokens of a prompt and of a reply, in turns.

    python -m bench.llama_builds [--model DIR] [--seconds 30] [--json]

The wheel computes on one thread and on two, the native build (`morgan models pull llama-cpp-x86-64`) on its one; each
reads the weights in the form that is quickest for it. A round takes every build through 30 tokens of a prompt, 8 of
another and 6 single ones behind 300 of context, so that a machine that is busy for a while is so for all of them.
Figures are medians in ms; the last lines are the native build's parts of the others' times.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from pipeline.engines.llm.llama_builds import NATIVE_ID, load_library
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_slots import SlotPlacement, Tokens
from pipeline.engines.llm.llama_steps import Share
from pipeline.engines.llm.llama_weights import quick_weights
from pipeline.models import ModelStore, default_root
from pipeline.processor import this_machine
from pipeline.scheduling.lanes import Ticket

CONTEXT = 300
IDS = [int(token) for token in np.random.default_rng(0).integers(1_000, 20_000, 400)]
STEPS = (30, 8, *[1] * 6)


class Contestant:
    """A build on some threads, and what it took."""

    def __init__(self, model: Path, library: Path | None, threads: int) -> None:
        llama = load_library(library)
        weights = quick_weights(model, default_root() / "requantized", llama)
        self._model = NativeModel(find_gguf(weights), llama)
        self._context = NativeContext(self._model, slots=1, n_ctx=512, batch=512, threads=threads)
        self._tokens = Tokens(Ticket(), 1, "", IDS[:CONTEXT], slot=0)
        self.name = f"{llama.build.name}, {threads} thread{'s' * (threads != 1)}"
        self.took: dict[int, list[float]] = {count: [] for count in STEPS}
        self._evaluate(CONTEXT)

    def round(self) -> None:
        """Every step once, behind the same context."""
        self._context.arrange(SlotPlacement(0, CONTEXT, None))
        self._tokens.evaluated = CONTEXT
        for count in STEPS:
            self.took[count].append(self._evaluate(count))

    def medians(self) -> dict[str, float]:
        """Milliseconds, by the tokens of a step."""
        return {str(count): round(statistics.median(took), 2) for count, took in self.took.items()}

    def close(self) -> None:
        """Free weights and cache."""
        self._context.close()
        self._model.close()

    def _evaluate(self, count: int) -> float:
        tokens = self._tokens
        tokens.ids = IDS[: tokens.evaluated + count]
        began = time.perf_counter()
        self._context.evaluate([Share(tokens, count)])
        tokens.evaluated += count
        return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = default_root() / "smollm2-135m-instruct"
    parser.add_argument("--model", type=Path, default=default, help="a GGUF file or a folder with one")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the whole run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    native = ModelStore(default_root()).path(NATIVE_ID)
    contestants = [Contestant(arguments.model, *how) for how in ((native, 1), (None, 1), (None, 2))]
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end or not contestants[-1].took[1]:
        for contestant in contestants:
            contestant.round()
    figures = {contestant.name: contestant.medians() for contestant in contestants}
    for contestant in contestants:
        contestant.close()
    if arguments.json:
        print(json.dumps({"machine": this_machine().describe(), "ms": figures}))
        return
    print(this_machine().describe())
    for name, took in figures.items():
        print(f"{name:>17}: " + ", ".join(f"{count} tokens {ms:.1f} ms" for count, ms in took.items()))
    one, *others = figures
    for name in others:
        parts = ", ".join(f"{count} tokens {figures[one][count] / figures[name][count]:.2f}" for count in figures[one])
        print(f"{one} against {name}: {parts}")


if __name__ == "__main__":
    main()
