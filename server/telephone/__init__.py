"""Telephone lines: calls that a provider or a PBX brings, over WebSockets and over AudioSocket."""
