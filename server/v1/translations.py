"""`/v1/audio/translations`: a recording in any language, as English text.

Source: https://platform.openai.com/docs/api-reference/audio/createTranslation

Speech to text hears it in its own language; the language model translates what is not English, segment by segment, so
that subtitles keep their times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from pipeline.engines.protocols import ChatRequest, LanguageModel, Message
from pipeline.transcription.segments import Segment, whole_text
from server.app_keys import ENGINES
from server.bounds import MAX_UPLOAD
from server.conversations.generation import FAILURES, Generation, no_answer
from server.conversations.tools import NO_TOOL_MODEL
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.transcription.formats import Finished
from server.transcription.transcriber import TRANSCRIBER
from server.v1.transcriptions import UPLOAD_SCHEMA, TranscriptionJson, answered, read_form, refused

ENGLISH = "en"

INSTRUCTIONS = "Translate what the user says into English. Answer with the translation and nothing else."

MOST_TOKENS = 512
"""Of one segment, which is at most 20 s of speech."""

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Translation:
    """Implements `server.transcription.formats.Finished`: what was said in a recording, in English."""

    segments: Sequence[Segment]
    duration_s: float
    unclear: bool
    language: str | None = ENGLISH

    @property
    def text(self) -> str:
        """All of its words."""
        return whole_text(self.segments)


@routes.post("/v1/audio/translations")
@operation(
    "openai",
    scope="speech",
    cost="work",
    body_limit=MAX_UPLOAD,
    uploads=("multipart/form-data",),
    upload_schema=UPLOAD_SCHEMA,
    answers={200: Answer("The translation, in the form that was asked for", TranscriptionJson, ("text/plain",))},
    errors=(400, 413, 415, 422, 503),
)
async def create_translation(request: web.Request) -> web.Response:
    """Transcribe an audio file and translate it into English.

    What is not English needs a language model that can: one that calls tools, or one behind `MORGAN_LLM_BASE_URL`.
    """
    transcriber = request.app[TRANSCRIBER]
    upload, wanted = await read_form(request)
    if wanted.stream:
        raise refused("stream", "a translation is not streamed")
    language = await transcriber.language(wanted.language)
    done = await (await transcriber.begin(upload, language=language, prompt=wanted.prompt)).finish()
    transcriber.record(done)
    return answered(await translated(request.app[ENGINES].llm, done), wanted, "translate")


async def translated(llm: LanguageModel, done: Finished) -> Translation:
    """A transcript in English.

    Raises:
        ApiError: 400 the language model cannot translate, 503 it could not do it now.
    """
    foreign = {segment.language for segment in done.segments} - {ENGLISH}
    if foreign and not llm.calls_tools:
        message = f"file: {llm.model} is too small a language model to translate ({', '.join(sorted(foreign))})"
        details = [{"field": "file", "message": message}]
        raise ApiError(400, "translation_unsupported", f"{message}; {NO_TOOL_MODEL}", details)
    segments = [
        segment
        if segment.language == ENGLISH
        else replace(segment, text=await _in_english(llm, segment.text), language=ENGLISH, words=())
        for segment in done.segments
    ]
    return Translation(segments, done.duration_s, done.unclear)


async def _in_english(llm: LanguageModel, text: str) -> str:
    asked = (Message("system", INSTRUCTIONS), Message("user", text))
    generation = Generation(llm, ChatRequest(asked, max_tokens=MOST_TOKENS))
    try:
        async for _ in generation.reply():
            pass
    except FAILURES as error:
        raise no_answer(error) from None
    return " ".join(generation.text.split())
