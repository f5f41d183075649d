"""Doors: HTTP, signaling and the command line. Turns requests into calls; touches no audio and no SQL."""
