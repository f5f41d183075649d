"""Command line of the fuzzers; see `tests.fuzz`."""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from tests.fuzz.target import CASES

INSTRUMENTED = ["media", "pipeline", "server", "aiortc", "aioice"]
"""Packages whose branches guide atheris."""


def guided(name: str, seconds: float, seed: int) -> NoReturn:
    """Fuzz a target in this process, guided by coverage; ends the process, with a crash's code where one was found."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.fuzzing import known, run_checked
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]

    def mutate(data: bytes, most: int, number: int) -> bytes:
        # Half of the time libFuzzer's own, which knows the comparisons that were seen.
        if number % 2:
            return bytes(atheris.Mutate(data, len(data) or 1))
        return target.mutate(data, random.Random(number))[:most]

    (CASES / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, target.open() as check:
        corpus = Path(folder)
        for data in known(target):
            (corpus / hashlib.sha256(data).hexdigest()).write_bytes(data)
        options = {
            "max_total_time": round(seconds),
            "seed": seed,
            "max_len": target.longest,
            "artifact_prefix": f"{CASES / name}/",
            "rss_limit_mb": 4096,
            "timeout": 120,
            "verbosity": 0,
            "print_final_stats": 1,
        }
        flags = [f"-{option}={value}" for option, value in options.items()]
        atheris.Setup(
            [sys.argv[0], *flags, str(corpus)], lambda data: run_checked(target, check, data), custom_mutator=mutate
        )
        atheris.Fuzz()
    raise AssertionError("atheris ends the process")


def blind(name: str, seconds: float, seed: int) -> None:
    """Fuzz a target in this process, by chance alone."""
    from tests.fuzz.fuzzing import run_long
    from tests.fuzz.targets import TARGETS

    print(f"{name}: {run_long(TARGETS[name], seconds, seed)} inputs, nothing found", flush=True)


def main() -> None:
    """One target in this process, all of them in a process each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", help="which; all of them where none is named")
    parser.add_argument("--seconds", type=float, default=600.0, help="of each")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--blind", action="store_true", help="by chance, also where atheris is installed")
    parser.add_argument("--list", action="store_true", help="only name the targets")
    options = parser.parse_args()
    seed = options.seed or time.time_ns() % 1_000_000_000
    if options.target and not options.list:
        (blind if options.blind or find_spec("atheris") is None else guided)(options.target, options.seconds, seed)
        return
    from tests.fuzz.targets import TARGETS

    if options.list:
        for target in TARGETS.values():
            print(f"{target.name:10} {target.about}")
        return
    more = ["--blind"] if options.blind else []
    failed = []
    for name in TARGETS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, f"--seconds={options.seconds}", f"--seed={seed}", *more]
        if subprocess.run(command).returncode:
            failed.append(name)
    print(f"faults: {', '.join(failed) or 'none'}; cases are in {CASES}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
