"""Everything that can be wrong with a request is answered with its own status and code, and never with a trace."""

from __future__ import annotations

import asyncio
import io
import resource
import sqlite3
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service import images
from service.app import build_app
from service.errors import BodyTooLarge, TooManyPixels
from service.settings import Settings
from service.web.middleware import FORM_OVERHEAD_BYTES, LimitBody

LIMIT = 10_000_000
CHUNK = 64 * 1024
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
JSON = {"Content-Type": "application/json"}


def refusal(response: Response) -> tuple[int, str]:
    """Status and code, after checking what all refusals have in common."""
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-Id"] == response.json()["request_id"]
    assert response.headers["X-Release"]
    assert "Traceback" not in response.text
    assert 'File "' not in response.text
    assert response.json()["status"] == response.status_code
    assert response.json()["detail"]
    return response.status_code, response.json()["code"]


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and ends soon after."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def line_png(length: int, orientation: int) -> bytes:
    """A picture of one row, or of one column when EXIF says that it lies on its side."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("1", (length, 1)).save(file, "PNG", exif=exif)
    return file.getvalue()


def in_chunks(size: int) -> Iterator[bytes]:
    return (b"x" * CHUNK for _ in range(size // CHUNK + 1))


@pytest.mark.parametrize("body", [b"this is no picture", b"<svg/>", b"\xff\xd8\xff", b"%PDF-1.7\n", b"\0" * 1000])
def test_bytes_that_are_no_picture_are_refused(client: TestClient, body: bytes):
    assert refusal(client.post("/v1/predictions", content=body)) == (422, "bad_image")


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_picture_is_refused(client: TestClient, pictures: dict[str, bytes], kept: float):
    half = pictures["coffee"][: int(len(pictures["coffee"]) * kept)]
    assert refusal(client.post("/v1/predictions", content=half)) == (422, "truncated_image")


def test_an_empty_body_is_refused(client: TestClient):
    assert refusal(client.post("/v1/predictions", content=b"")) == (422, "empty_image")


def test_an_empty_file_is_refused(client: TestClient):
    assert refusal(client.post("/v1/predictions", files={"image": ("empty.jpg", b"")})) == (422, "empty_image")


def test_a_body_over_ten_megabytes_is_refused(client: TestClient):
    assert refusal(client.post("/v1/predictions", content=bytes(LIMIT + CHUNK + 1))) == (413, "body_too_large")


def test_a_body_over_ten_megabytes_is_refused_without_an_announced_length(client: TestClient):
    response = client.post("/v1/predictions", content=in_chunks(LIMIT + CHUNK))
    assert "Content-Length" not in response.request.headers
    assert refusal(response) == (413, "body_too_large")


def test_a_file_one_byte_over_the_limit_is_refused(client: TestClient):
    response = client.post("/v1/predictions", files={"image": ("big.jpg", bytes(LIMIT + 1))})
    assert refusal(response) == (413, "body_too_large")


def test_a_picture_of_exactly_the_limit_is_answered(client: TestClient, pictures: dict[str, bytes]):
    padded = pictures["coffee"].ljust(LIMIT, b"\0")
    assert client.post("/v1/predictions", files={"image": ("big.jpg", padded)}).status_code == 200


def test_a_body_that_announces_too_much_is_refused_unread():
    with pytest.raises(BodyTooLarge):
        asyncio.run(drive(limited, source := Source(), [(b"content-length", b"10065537")]))
    assert source.asked == 0


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")]], ids=["no length", "a lie"])
def test_an_endless_body_is_refused_as_soon_as_it_is_too_large(headers: list[tuple[bytes, bytes]]):
    with pytest.raises(BodyTooLarge):
        asyncio.run(drive(limited, source := Source(), headers))
    assert (LIMIT + FORM_OVERHEAD_BYTES) // CHUNK < source.asked <= (LIMIT + FORM_OVERHEAD_BYTES) // CHUNK + 1


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/sessions", "/sign-in"])
def test_no_door_reads_an_endless_body(client: TestClient, path: str):
    asyncio.run(drive(client.app, source := Source(), [(b"host", b"testserver"), (b"content-type", b"text/plain")], path))
    assert source.asked <= (LIMIT + FORM_OVERHEAD_BYTES) // CHUNK + 1


class Source:
    """A sender that never ends, and counts how often it was asked for more."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> Message:
        self.asked += 1
        assert self.asked < 1000, "the body is read without end"
        return {"type": "http.request", "body": bytes(CHUNK), "more_body": True}


async def reads_everything(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()


limited = LimitBody(reads_everything, max_bytes=LIMIT)


async def drive(app: object, receive: Receive, headers: list[tuple[bytes, bytes]], path: str = "/") -> None:
    async def send(message: Message) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "app": app}
    await app({**scope, "scheme": "http", "root_path": ""}, receive, send)  # type: ignore[operator]


def test_too_many_pixels_are_refused_from_the_header_alone(client: TestClient):
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    response = client.post("/v1/predictions", content=png_header(10_000, 6_000))
    assert refusal(response) == (422, "too_many_pixels")
    assert time.process_time() - started < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; decoded it would be 180 MB


def test_fifty_megapixels_are_the_most_that_is_decoded():
    assert images.media_type(png_header(10_000, 5_000)) == "image/png"
    with pytest.raises(TooManyPixels, match="10000 x 5001"):
        images.media_type(png_header(10_000, 5_001))


@pytest.mark.parametrize("orientation", [1, 6], ids=["row", "column"])
def test_a_picture_of_one_line_is_refused(client: TestClient, orientation: int):
    # Scaling its short side to 256 pixels would make the long one 2,304,000,000.
    assert refusal(client.post("/v1/predictions", content=line_png(9_000_000, orientation))) == (422, "too_narrow")


def test_a_panorama_is_answered(client: TestClient):
    assert [client.post("/v1/predictions", content=line_png(length, 1)).status_code for length in (100, 101)] == [200, 422]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/predictions", (405, "method_not_allowed")),
        ("PUT", "/v1/runs", (405, "method_not_allowed")),
        ("DELETE", "/", (405, "method_not_allowed")),
        ("GET", "/v1/nothing", (404, "not_found")),
        ("GET", "/static/nothing.css", (404, "not_found")),
        ("GET", "/static/..%2fpages.py", (404, "not_found")),
    ],
)
def test_what_is_not_there_is_refused(client: TestClient, method: str, path: str, expected: tuple[int, str]):
    assert refusal(client.request(method, path)) == expected


def test_a_wrong_method_is_told_the_right_one(client: TestClient):
    assert client.get("/v1/predictions").headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"no boundary in here"),
        ({"Content-Type": "multipart/form-data"}, b"--edge--"),
        (FORM, b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nx\r\n' * 2 + b"--edge--\r\n"),
    ],
    ids=["rubbish", "no boundary named", "two files"],
)
def test_a_malformed_form_is_refused(client: TestClient, headers: dict[str, str], body: bytes):
    assert refusal(client.post("/v1/predictions", content=body, headers=headers)) == (400, "malformed_request")


@pytest.mark.parametrize(
    "disposition",
    ['name="photo"; filename="cat.jpg"', 'name="image"', 'filename="cat.jpg"; name=""'],
    ids=["other", "text", "none"],
)
def test_a_form_without_a_file_in_its_image_field_is_refused(client: TestClient, disposition: str):
    body = f"--edge\r\nContent-Disposition: form-data; {disposition}\r\n\r\nhello\r\n--edge--\r\n"
    assert refusal(client.post("/v1/predictions", content=body, headers=FORM)) == (400, "image_missing")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"{}", b'{"name": "ada"}', b'{"name": 1, "password": "12345678"}', b"\xff\xfe{", b"[" * 100_000],
    ids=["empty", "cut", "list", "text", "no fields", "one field", "number", "not utf-8", "deep"],
)
@pytest.mark.parametrize("path", ["/v1/users", "/v1/sessions"])
def test_json_that_is_not_what_was_asked_for_is_refused(client: TestClient, path: str, body: bytes):
    assert refusal(client.post(path, content=body, headers=JSON)) == (400, "malformed_request")


@pytest.mark.parametrize("fields", [r'"name": "ada", "password": "\ud800 12345678"', r'"name": "\ud800", "password": "12345678"'])
@pytest.mark.parametrize("path", ["/v1/users", "/v1/sessions"])
def test_text_that_is_half_a_character_is_refused(client: TestClient, path: str, fields: str):
    status, _ = refusal(client.post(path, content="{" + fields + "}", headers=JSON))
    assert status in (400, 401, 422)


@pytest.mark.parametrize("origin", ["http://[", "null", "https://evil.example", "http://testserver.evil.example"])
def test_a_foreign_or_broken_origin_is_refused(client: TestClient, origin: str):
    response = client.post("/v1/sessions", json={}, headers={"Origin": origin})
    assert refusal(response) == (403, "foreign_origin")


def test_a_broken_store_is_our_fault_and_carries_the_request_id(tmp_path: Path):
    app = build_app(Settings(database=str(tmp_path / "service.db"), release="r" * 64))
    with sqlite3.connect(tmp_path / "service.db") as connection:
        connection.execute("DROP TABLE sessions")
    connection.close()
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/v1/runs", headers={"Authorization": "Bearer token"})
    assert "sessions" not in response.text
    assert refusal(response) == (500, "internal_error")
