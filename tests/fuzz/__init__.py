"""Fuzzers of everything that reads strangers' bytes: a target each, its seeds, and every input that once broke it.

    python -m tests.fuzz --list
    python -m tests.fuzz stun --seconds 600
    python -m tests.fuzz --seconds 600        each of them for as long

Guided by coverage where atheris is installed (`pip install atheris`), by chance alone where it is not. `test_fuzz.py`
runs each for a moment. What is found is written to `cases/TARGET/`: mend the fault, commit the case, and the suite
runs it from then on.
"""
