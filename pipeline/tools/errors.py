"""Errors of tools."""

from pipeline.engines.protocols import EngineError


class ToolSetupError(EngineError):
    """A declared tool cannot be used; the message says what to mend in the settings."""


class ToolError(Exception):
    """A tool could not do what it was asked; the message is for the language model."""
