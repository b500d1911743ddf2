"""Everything that can be wrong with a request is answered with its own status and code, and never with a trace."""

from __future__ import annotations

import asyncio
import io
import json
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

from service.errors import BodyTooLarge
from service.images.pool import DecoderPool
from service.web.api import ENDPOINTS
from service.web.middleware import FORM_OVERHEAD_BYTES, LimitBody
from tests.service.conftest import Someone, changed, opened, settings_in, someone

LIMIT = 10_000_000
MOST = LIMIT + FORM_OVERHEAD_BYTES
CHUNK = 64 * 1024
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
JSON = {"Content-Type": "application/json"}
GUARDED = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.access.role is not None]


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


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG", compress_level=1)
    return file.getvalue()


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


@pytest.mark.parametrize("path", ["/v1/predictions", "/invocations"])
def test_a_body_over_ten_megabytes_is_refused(client: TestClient, path: str):
    answer = client.post(path, content=bytes(LIMIT + CHUNK + 1))
    assert (*refusal(answer), answer.headers["Connection"]) == (413, "body_too_large", "close")


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


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/sessions", "/sign-in", "/runs", "/account/tokens"])
def test_where_no_picture_belongs_64_kilobytes_are_the_most(client: TestClient, ada: Someone, path: str):
    headers = {**ada.headers, "Content-Type": "application/x-www-form-urlencoded"}
    assert refusal(client.post(path, content=b"a" * (FORM_OVERHEAD_BYTES + 1), headers=headers)) == (413, "body_too_large")


def test_a_body_that_announces_too_much_is_refused_unread():
    with pytest.raises(BodyTooLarge):
        asyncio.run(drive(limited, source := Source(), [(b"content-length", b"10065537")]))
    assert source.asked == 0


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")]], ids=["no length", "a lie"])
def test_an_endless_body_is_refused_as_soon_as_it_is_too_large(headers: list[tuple[bytes, bytes]]):
    with pytest.raises(BodyTooLarge):
        asyncio.run(drive(limited, source := Source(), headers))
    assert MOST // CHUNK < source.asked <= MOST // CHUNK + 1


@pytest.mark.parametrize(
    ("path", "most"),
    [("/v1/predictions", MOST), ("/v1/predictions/batch", 4 * LIMIT), ("/", 4 * LIMIT), ("/v1/sessions", 0), ("/sign-in", 0)],
)
@pytest.mark.parametrize("kind", [b"text/plain", b"multipart/form-data; boundary=edge"])
def test_no_door_reads_an_endless_body(client: TestClient, path: str, most: int, kind: bytes):
    asyncio.run(drive(client.app, source := Source(), [(b"host", b"testserver"), (b"content-type", kind)], path))
    assert source.asked <= (most + FORM_OVERHEAD_BYTES) // CHUNK + 1


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


limited = LimitBody(reads_everything, most=10, limits={"/": MOST})


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


@pytest.mark.parametrize("orientation", [1, 6], ids=["row", "column"])
def test_a_picture_of_one_line_is_refused(client: TestClient, orientation: int):
    # Scaling its short side to 256 pixels would make the long one 2,304,000,000.
    assert refusal(client.post("/v1/predictions", content=line_png(9_000_000, orientation))) == (422, "too_narrow")


def test_a_panorama_is_answered(client: TestClient):
    assert [client.post("/v1/predictions", content=line_png(length, 1)).status_code for length in (100, 101)] == [200, 422]


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"seconds": 0.02}, "decoding_too_slow"), ({"memory_bytes": 180_000_000}, "decoding_too_large")],
    ids=["time", "memory"],
)
def test_a_picture_that_takes_too_much_to_decode_is_refused(client: TestClient, limits: dict[str, float], code: str):
    pool = DecoderPool(1, **limits)
    try:
        pool.start()
        with changed(client, decoders=pool):
            assert refusal(client.post("/v1/predictions", content=png(6000, 6000))) == (422, code)
    finally:
        pool.close()


def test_who_comes_when_no_decoder_can_be_had_is_told_to_come_back(client: TestClient, pictures: dict[str, bytes]):
    pool = DecoderPool(1)
    pool.close()
    with changed(client, decoders=pool):
        answer = client.post("/v1/predictions", content=pictures["cat"])
    assert (*refusal(answer), answer.headers["Retry-After"]) == (503, "busy", "1")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/predictions", (405, "method_not_allowed")),
        ("PUT", "/v1/runs", (405, "method_not_allowed")),
        ("DELETE", "/", (405, "method_not_allowed")),
        ("POST", "/v1/exports/runs.csv", (405, "method_not_allowed")),
        ("GET", "/v1/nothing", (404, "not_found")),
        ("GET", "/static/nothing.css", (404, "not_found")),
        ("GET", "/static/..%2fmiddleware.py", (404, "not_found")),
    ],
)
def test_what_is_not_there_is_refused(client: TestClient, method: str, path: str, expected: tuple[int, str]):
    assert refusal(client.request(method, path, follow_redirects=False)) == expected


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/predictions", {"POST"}), ("/v1/runs", {"GET", "HEAD", "POST"}), ("/v1/runs/x", {"GET", "HEAD", "PATCH", "DELETE"})],
)
def test_a_wrong_method_is_told_all_the_right_ones(client: TestClient, path: str, methods: set[str]):
    answer = client.put(path)
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, methods)


TWO_FILES = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nx\r\n' * 2 + b"--edge--\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (FORM, b"no boundary in here", (400, "malformed_request")),
        ({"Content-Type": "multipart/form-data"}, b"--edge--", (400, "malformed_request")),
        (FORM, TWO_FILES, (413, "too_many_images")),
    ],
    ids=["rubbish", "no boundary named", "two files"],
)
def test_a_malformed_form_is_refused(client: TestClient, headers: dict[str, str], body: bytes, expected: tuple[int, str]):
    assert refusal(client.post("/v1/predictions", content=body, headers=headers)) == expected


@pytest.mark.parametrize(
    "disposition",
    ['name="photo"; filename="cat.jpg"', 'name="image"', 'filename="cat.jpg"; name=""'],
    ids=["other", "text", "none"],
)
def test_a_form_without_a_file_in_its_image_field_is_refused(client: TestClient, disposition: str):
    body = f"--edge\r\nContent-Disposition: form-data; {disposition}\r\n\r\nhello\r\n--edge--\r\n"
    assert refusal(client.post("/v1/predictions", content=body, headers=FORM)) == (400, "image_missing")


NOT_JSON = {
    "cut": b"{", "list": b"[]", "text": b'"text"', "a field too many": b'{"nonsense": 1}', "not utf-8": b"\xff\xfe{",
    "deep": b"[" * 60_000, "no number": b'{"x": NaN}',
}  # fmt: skip
TAKES_JSON = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.body]
MALFORMED = (400, "malformed_request")


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_json_that_is_not_what_was_asked_for_is_refused(client: TestClient, admin: Someone, body: bytes):
    headers = {**JSON, **admin.headers}
    answers = {door: refusal(client.request(*door, content=body, headers=headers)) for door in TAKES_JSON}
    assert answers == dict.fromkeys(TAKES_JSON, MALFORMED)


REQUIRED = [
    ("POST", "/v1/users", {"name": "n", "password": "p"}),
    ("POST", "/v1/sessions", {"name": "n", "password": "p"}),
    ("POST", "/v1/set-up", {"token": "t", "name": "n", "password": "p"}),
    ("PUT", "/v1/me/password", {"old": "o", "new": "n"}),
    ("DELETE", "/v1/me", {"password": "p"}),
    ("POST", "/v1/tokens", {"name": "n", "scopes": ["read"]}),
    ("POST", "/v1/runs", {"prediction": "p"}),
]


@pytest.mark.parametrize(("method", "path", "fields"), REQUIRED)
def test_a_required_field_that_is_missing_or_of_another_kind_is_refused(
    client: TestClient, ada: Someone, method: str, path: str, fields: dict[str, object]
):
    for name in fields:
        without = {other: value for other, value in fields.items() if other != name}
        for body in (without, *({**fields, name: wrong} for wrong in (None, 1, True, {"a": "b"}))):
            assert refusal(client.request(method, path, json=body, headers=ada.headers)) == MALFORMED, body


@pytest.mark.parametrize(("method", "path", "fields"), REQUIRED)
@pytest.mark.parametrize("evil", ["\ud800", "a\0b"], ids=["half a character", "zero byte"])
def test_text_that_no_store_keeps_is_refused(
    client: TestClient, ada: Someone, method: str, path: str, fields: dict[str, object], evil: str
):
    body = json.dumps({name: evil if isinstance(value, str) else value for name, value in fields.items()})
    assert refusal(client.request(method, path, content=body, headers=ada.headers)) == MALFORMED


@pytest.mark.parametrize("origin", ["http://[", "null", "https://evil.example", "http://testserver.evil.example"])
def test_a_foreign_or_broken_origin_is_refused(client: TestClient, origin: str):
    response = client.post("/v1/sessions", json={}, headers={"Origin": origin})
    assert refusal(response) == (403, "foreign_origin")


def test_who_is_not_signed_in_is_told_how(client: TestClient):
    answers = {door: client.request(*door) for door in GUARDED}
    assert {door: refusal(answer) for door, answer in answers.items()} == dict.fromkeys(GUARDED, (401, "not_signed_in"))
    assert {answer.headers["WWW-Authenticate"] for answer in answers.values()} == {"Bearer"}


def test_a_store_that_does_not_answer_is_not_the_callers_fault(broken: TestClient):
    answers = {door: broken.request(*door, headers={"Authorization": "Bearer token"}) for door in GUARDED}
    assert {door: refusal(answer) for door, answer in answers.items()} == dict.fromkeys(GUARDED, (503, "storage_unavailable"))
    assert {answer.headers["Retry-After"] for answer in answers.values()} == {"1"}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose database has lost a table."""
    with opened(settings := settings_in(tmp_path_factory.mktemp("broken"))) as client:
        with sqlite3.connect(settings.database) as connection:
            connection.execute("DROP TABLE sessions")
        connection.close()
        yield client


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/batch", "/invocations"])
def test_who_comes_before_the_model_is_loaded_is_told_when_to_come_back(broken: TestClient, path: str, pictures: dict[str, bytes]):
    answer = broken.post(path, files={"image": pictures["cat"]})
    assert (*refusal(answer), answer.headers["Retry-After"]) == (503, "model_unavailable", "5")


def test_a_crash_is_our_fault_and_carries_the_request_id_and_no_trace(tmp_path: Path):
    with opened(settings := settings_in(tmp_path)) as client:
        ada = someone(client, name="ada")
        with sqlite3.connect(settings.database) as connection:
            connection.execute("UPDATE profiles SET role = 'wizard'")
        connection.close()
        answer = client.get("/v1/me", headers=ada.headers)
    assert refusal(answer) == (500, "internal_error")
    assert "wizard" not in answer.text


def test_refusals_are_counted_by_their_codes(client: TestClient):
    client.post("/v1/predictions", content=b"rubbish")
    assert 'slipway_refusals_total{code="bad_image"}' in client.get("/metrics").text
