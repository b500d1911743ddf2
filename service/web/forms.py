"""What a request brings, read and checked: pictures, JSON, forms, query parameters. Raises MalformedRequest and its like."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from service.errors import BodyTooLarge, ImageMissing, MalformedRequest, TooManyImages
from service.runs import Keeping
from service.search import Place, Query
from service.web.tools import tools

MOST_FIELDS = 40
LONGEST_KEY = 255
LONGEST_NUMBER = 9  # digits; Python refuses to read thousands of them
MultiPartParser.spool_max_size = 0  # never: what may be sent fits into memory, and nothing unchecked is for the disk
KINDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list"}


async def read_form(request: Request, *, files: int = 0) -> FormData:
    """The form in the body."""
    try:
        return await request.form(max_files=files, max_fields=MOST_FIELDS)
    except HTTPException as error:
        if "Too many files" in str(error.detail):
            raise TooManyImages(f"at most {files} pictures are taken at once") from error
        raise MalformedRequest(f"the form cannot be read: {error.detail}") from error


async def read_picture(request: Request) -> bytes:
    """One picture: the form field `image`, or the whole body."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        return _within(request, await request.body())
    pictures = await read_pictures(request, most=1)
    return pictures[0]


async def read_pictures(request: Request, *, most: int) -> list[bytes]:
    """The pictures in the form fields `image`, at least one and at most `most`, in order."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise MalformedRequest("send a form: Content-Type multipart/form-data with the field 'image'")
    form = await read_form(request, files=most)
    try:
        fields = form.getlist("image")
        found = [_within(request, await field.read()) for field in fields if isinstance(field, UploadFile)]
    finally:
        await form.close()
    if not found:
        raise ImageMissing("the form has no file in the field 'image'")
    return found


def _within(request: Request, picture: bytes) -> bytes:
    limit = tools(request).settings.max_upload_bytes
    if len(picture) > limit:
        raise BodyTooLarge(f"the picture has {len(picture):,} bytes; at most {limit:,} are taken")
    return picture


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object in the body."""
    try:
        document = json.loads(await request.body() or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("the body is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedRequest("the body is not a JSON object")
    return document


def fields_of(document: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type] | None = None) -> list[Any]:
    """The values of the named fields, required ones first; missing optional ones are None. Unknown fields are refused."""
    wanted = {**required, **(optional or {})}
    if unknown := document.keys() - wanted.keys():
        raise MalformedRequest(f"unknown field {sorted(unknown)[0][:40]!r}; known are {', '.join(wanted)}")
    values: list[Any] = []
    for name, kind in wanted.items():
        value = document.get(name)
        if value is None and name not in required:
            values.append(None)
        elif type(value) is not kind:
            raise MalformedRequest(f"the field {name!r} has to be {KINDS[kind]}")
        else:
            values.append(_whole(name, value) if isinstance(value, str) else value)
    return values


def form_text(form: FormData, name: str) -> str:
    """A text field of a form, "" if it is not there."""
    value = form.get(name)
    return _whole(name, value) if isinstance(value, str) else ""


def _whole(name: str, text: str) -> str:
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in text):
        raise MalformedRequest(f"the field {name!r} has half a character or a zero byte")
    return text


def keeping_of(request: Request, note: str | None, truth: str | None) -> Keeping:
    """What comes with a save, with the key of the header."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise MalformedRequest(f"an Idempotency-Key has 1 to {LONGEST_KEY} characters")
    return Keeping(note, truth, key)


def query_of(request: Request, *, limit: int = 50, most: int = 200) -> Query:
    """Which runs are asked for: label, release, since, until (the last day or time that is included), after and limit."""
    given = request.query_params
    return Query(
        label=_whole("label", given.get("label", ""))[:200],
        release=_whole("release", given.get("release", ""))[:100],
        since=_time("since", given.get("since", "")),
        until=_time("until", given.get("until", ""), end_of_day=True),
        after=_place(given.get("after", "")),
        limit=whole_number("limit", given.get("limit", str(limit)), most),
    )


def whole_number(name: str, text: str, most: int) -> int:
    """A whole number from 1 to `most`. Raises MalformedRequest."""
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_NUMBER or not 1 <= int(text) <= most:
        raise MalformedRequest(f"{name}={text[:20]!r} is not a whole number from 1 to {most}")
    return int(text)


def _time(name: str, text: str, *, end_of_day: bool = False) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedRequest(
            f"{name}={text[:40]!r} is no date such as 2026-01-31, and no time such as 2026-01-31T12:00:00Z"
        ) from error
    if end_of_day and not set(text) & {"T", "t", " ", ":"}:
        at = at.replace(hour=23, minute=59, second=59, microsecond=999999)
    try:
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise MalformedRequest(f"{name}={text[:40]!r} is out of range") from error


def cursor_of(place: Place | None) -> str | None:
    """The opaque text of a place."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{place.made_at.isoformat()} {place.id}".encode()).decode().rstrip("=")


def _place(cursor: str) -> Place | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, _, run_id = text.partition(" ")
        made_at = datetime.fromisoformat(at)
        if made_at.tzinfo is None or not run_id.isalnum() or not run_id.isascii():
            raise ValueError(text)
        return Place(made_at.astimezone(UTC), run_id)
    except (ValueError, OverflowError) as error:
        raise MalformedRequest("after= is no cursor that this service gave: take `next` of the page before") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
