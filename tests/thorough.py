"""How often chance is tried: as often as a test says in the whole suite, a tenth of it in `make unit`."""

import os

FULL = 300
"""Random calls of the whole suite."""

SEQUENCES = int(os.environ.get("RANDOM_SEQUENCES", FULL))
"""Random calls of this run."""


def share(full: int) -> int:
    """Of the repetitions that the whole suite makes, how many this run makes: at least one."""
    return max(1, min(full, full * SEQUENCES // FULL))


def try_hypothesis_less() -> None:
    """What hypothesis makes up is tried as rarely as the rest, and without the constants of our sources.

    To find those it parses every module that is loaded, in each worker: on a fresh clone a tenth of `make unit`.
    """
    if SEQUENCES >= FULL:
        return
    from hypothesis import settings
    from hypothesis.internal.conjecture import providers
    from hypothesis.internal.constants_ast import Constants

    settings.register_profile("rarely", max_examples=share(settings.default.max_examples))
    settings.load_profile("rarely")
    none = Constants()
    providers._get_local_constants = lambda: none
