"""Structured logs: static messages with fields, for people on a terminal and as JSON lines elsewhere.

What users say never goes into a log.
"""

import logging
import sys
from typing import Any

import structlog

from server.observability.faults import FAULTS
from server.settings import Settings

# Without the local variables, among which are passwords and what callers said.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logs(settings: Settings) -> None:
    """Send our logs and those of the libraries through one formatter, to standard error."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Plain: rich shows the local variables, too, and takes 0.1 s of the event loop.
    last: list[Any] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler, FAULTS]
    root.setLevel(settings.log_level.upper())
    for chatty in ("aiohttp.access", "aioice", "aiortc", "httpx", "httpx2", "openai", "faster_whisper"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
