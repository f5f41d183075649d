"""Calls recorded as the inputs of their machine, and replayed: a user's bug report becomes a test."""
