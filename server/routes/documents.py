"""`/api/memory/documents`: what users have given Morgan to read, and answers from."""

import asyncio
import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from persistence.errors import TextNotStoredError
from persistence.ids import parse_uuid
from persistence.text import check_id
from persistence.values import Document, Passage
from server.bounds import MAX_DOCUMENT_BODY, MAX_DOCUMENTS, MAX_SECTION_CHARS, MAX_SECTIONS
from server.http.acting import acting_user, named_user
from server.http.errors import ApiError
from server.http.fields import UserId
from server.http.operation import Answer, operation
from server.http.uninterrupted import to_the_end
from server.memory.documents import add_document
from server.memory.door import MEMORY

MAX_TITLE = 300

SHOWN_A_TURN = 500
"""Passages that are written down before others have their turn."""

routes = web.RouteTableDef()


def _uuid(value: str) -> str:
    if parse_uuid(value) is None:
        raise ValueError("must be a uuid")
    return value


def _storable(source: str) -> str:
    return check_id(source, "source")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Section(_Strict):
    """A part of a document: a page, or what stands under a heading."""

    content: Annotated[str, Field(max_length=MAX_SECTION_CHARS)]
    place: Annotated[str, Field(max_length=MAX_TITLE, description='For people: "page 12", a heading.')] = ""


class NewDocument(_Strict):
    """A document as the text of its sections; `morgan memory add` makes them of files."""

    user_id: UserId
    source: Annotated[
        str,
        Field(min_length=1, max_length=256, description="What you know it by: the same again replaces it."),
        AfterValidator(_storable),
    ]
    title: Annotated[str, Field(max_length=MAX_TITLE, description="By which answers name it; the source if empty.")] = (
        ""
    )
    sections: Annotated[list[Section], Field(min_length=1, max_length=MAX_SECTIONS)]


class OfUser(_Strict):
    """Whose documents."""

    user_id: UserId


class OneDocument(_Strict):
    """Which document; with a user, it must be theirs."""

    document_id: Annotated[str, Field(max_length=64, json_schema_extra={"format": "uuid"}), AfterValidator(_uuid)]
    user_id: UserId | None = None


class ShownDocument(BaseModel):
    """A document."""

    id: UUID
    user_id: str
    source: str
    title: str
    sha256: str
    passage_count: int
    created_at: datetime
    owed: Annotated[int, Field(description="Passages that cannot be found yet, because they are still to be read.")]


class ShownPassage(BaseModel):
    """What is found, and said to the language model."""

    content: str
    place: str


class WholeDocument(ShownDocument):
    """A document with what is in it."""

    passages: list[ShownPassage]


class Documents(BaseModel):
    """By their source."""

    documents: list[ShownDocument]


def _shown(document: Document) -> dict[str, Any]:
    return ShownDocument(**asdict(document)).model_dump(mode="json")


@routes.post("/api/memory/documents")
@operation(
    "memory",
    scope="calls",
    cost="work",
    body=NewDocument,
    body_limit=MAX_DOCUMENT_BODY,
    answers={201: Answer("The document; its passages are found as soon as they are read", ShownDocument)},
    errors=(404, 409, 503),
)
async def put_document(request: web.Request, body: NewDocument) -> web.Response:
    """Add a document, or replace the one from the same source."""
    user_id = named_user(request, body.user_id)
    memory = request.app[MEMORY].opened()
    known = {each.source for each in await memory.documents.list(user_id)}
    if body.source not in known and len(known) >= MAX_DOCUMENTS:
        raise ApiError(409, "too_many_documents", f"A user may have at most {MAX_DOCUMENTS} documents")
    if not any(each.content.strip() for each in body.sections):
        raise ApiError(422, "empty_document", "sections: there is no text in them")
    sections = [Passage(each.content, each.place) for each in body.sections]
    title = body.title.strip() or body.source
    try:
        added = await to_the_end(add_document(memory, user_id, body.source, title, sections))
    except TextNotStoredError as error:
        raise ApiError(409, "text_not_stored", str(error)) from None
    return web.json_response(_shown(added), status=201)


@routes.get("/api/memory/documents")
@operation(
    "memory",
    scope="read",
    cost="work",
    params=OfUser,
    answers={200: Answer("By their source", Documents)},
    errors=(404, 503),
)
async def list_documents(request: web.Request, params: OfUser) -> web.Response:
    """The documents of a user."""
    found = await request.app[MEMORY].opened().documents.list(named_user(request, params.user_id))
    return web.json_response({"documents": [_shown(each) for each in found]})


@routes.get("/api/memory/documents/{document_id}")
@operation(
    "memory",
    scope="read",
    cost="work",
    params=OneDocument,
    answers={200: Answer("The document", WholeDocument)},
    errors=(404, 503),
)
async def show_document(request: web.Request, params: OneDocument) -> web.Response:
    """A document, and the passages that it was cut into."""
    memory = request.app[MEMORY].opened()
    found = await memory.documents.get(_id(params), acting_user(request, params.user_id))
    if found is None:
        raise _no_document()
    document, passages = found
    listed: list[str] = []
    for start in range(0, len(passages), SHOWN_A_TURN):
        # Thousands of them, all in one go, would keep the event loop from the sound of calls.
        part = passages[start : start + SHOWN_A_TURN]
        listed += [json.dumps({"content": each.content, "place": each.place}) for each in part]
        await asyncio.sleep(0)
    text = f'{json.dumps(_shown(document))[:-1]}, "passages": [{", ".join(listed)}]}}'
    return web.Response(text=text, content_type="application/json")


@routes.delete("/api/memory/documents/{document_id}")
@operation(
    "memory",
    scope="erase",
    cost="work",
    params=OneDocument,
    answers={204: Answer("Nothing of it is found any more")},
    errors=(404, 503),
)
async def delete_document(request: web.Request, params: OneDocument) -> web.Response:
    """Delete a document."""
    memory = request.app[MEMORY].opened()
    if not await to_the_end(memory.delete_document(acting_user(request, params.user_id), _id(params))):
        raise _no_document()
    return web.Response(status=204)


def _id(params: OneDocument) -> UUID:
    found = parse_uuid(params.document_id)
    assert found is not None
    return found


def _no_document() -> ApiError:
    return ApiError(404, "document_not_found", "There is no such document")
