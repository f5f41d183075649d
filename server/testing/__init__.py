"""Calls in virtual time, for tests and benchmarks: the real call machine, engines with set delays."""
