"""Gives an application what its routes transcribe with, and takes it down with the application."""

from collections.abc import AsyncIterator

from aiohttp import web

from server.app_keys import DECODERS, ENGINES, SETTINGS
from server.memory.door import MEMORY
from server.transcription.sessions import SESSIONS, StreamSessions
from server.transcription.transcriber import TRANSCRIBER, Transcriber


def add_transcription(app: web.Application, *, streams: bool) -> None:
    """Let an application's routes transcribe.

    Args:
        app: as `server.application.application` made it.
        streams: whether it has streaming sessions.
    """

    async def transcribing(app: web.Application) -> AsyncIterator[None]:
        settings, memory = app[SETTINGS], app[MEMORY]
        transcriber = Transcriber(
            app[ENGINES], memory, settings.language, settings.languages, settings.stt_max_audio_s, app[DECODERS]
        )
        app[DECODERS].start()
        app[TRANSCRIBER] = transcriber
        if streams:
            app[SESSIONS] = StreamSessions(transcriber, memory, settings.stt_max_sessions, settings.stt_session_ttl_s)
        yield
        if streams:
            await app[SESSIONS].close()
        await transcriber.close()
        # Closed by whichever application goes first: by then all have stopped listening.
        await app[DECODERS].close()

    app.cleanup_ctx.append(transcribing)
