"""How much quicker llama.cpp computes on several threads than on one, timed when a model is loaded."""

import time
from typing import Final

from pipeline.engines.llm.llama_native import NativeContext
from pipeline.engines.llm.llama_slots import SlotPlacement, Tokens
from pipeline.engines.llm.llama_steps import Share, StepPace
from pipeline.scheduling.lanes import Ticket

PROMPT: Final = 16
"""Tokens that are read at once."""

ROUNDS: Final = 3
"""So often, in turns: what else the machine does meanwhile shall not meet one of the two alone."""

ENOUGH_S: Final = 2.0
"""No further round is begun after this; a large model is told apart by one."""


def compare_threads(context: NativeContext, pace: StepPace, most: int) -> None:
    """Time a stretch of a prompt and a single token, on one thread and on as many as there may be.

    Learnt from steps of calls alone it took dozens of calls to find out that a second core helps, where the first of
    them had run beside something else: prompts were read in twice the time.

    Args:
        context: no conversation is in it, and none is afterwards.
        pace: told what steps take.
        most: threads that there may be.
    """
    if most == 1:
        return
    began = time.perf_counter()
    _steps(context, most)  # the first of all reads the weights from the disk
    best: dict[tuple[int, int], tuple[Share, float]] = {}
    for _ in range(ROUNDS):
        for threads in (1, most):
            for share, seconds in _steps(context, threads):
                known = best.get((share.length, threads))
                if known is None or seconds < known[1]:
                    best[share.length, threads] = share, seconds
        if time.perf_counter() - began > ENOUGH_S:
            break
    for (_, threads), (share, seconds) in best.items():
        pace.learn([share], seconds, threads)
    context.arrange(SlotPlacement(0, 0))


def _steps(context: NativeContext, threads: int) -> list[tuple[Share, float]]:
    """A stretch of a prompt, and a token: what each took."""
    context.set_threads(threads)
    context.arrange(SlotPlacement(0, 0))
    tokens = Tokens(Ticket(), 0, "", list(range(PROMPT + 1)), slot=0)
    timed: list[tuple[Share, float]] = []
    for count in (PROMPT, 1):
        share, began = Share(tokens, count), time.perf_counter()
        context.evaluate([share])
        timed.append((share, time.perf_counter() - began))
        tokens.evaluated += count
    return timed
