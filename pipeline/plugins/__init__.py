"""Engines as packages register them: the entry point group `morgan.engines`, and the engines that Morgan brings."""
