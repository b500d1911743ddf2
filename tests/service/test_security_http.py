"""What the running service makes of HTTP that means it harm: a real process on the loopback interface, spoken to byte by byte."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
MB = 1_000_000
CAP = 3 * MB  # of a picture; large enough for what would be written to a temporary file
ROOM = 64 * 1024  # for what is around pictures, and for everything that is none
IN_THE_KERNEL = 8 * MB  # what sockets of both ends take in before anybody reads it
SHARE = 25  # pictures that one address may send in a minute
PROXY, HEAD = "127.0.0.2", "Host: service.example\r\n"


@dataclass(frozen=True)
class Answers:
    """Everything that came back over one connection, and whether the other side closed it."""

    data: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.data)]

    def header(self, name: str) -> list[str]:
        found = re.findall(rb"(?im)^" + name.encode() + rb": (.*?)\r$", self.data.partition(b"\r\n\r\n")[0] + b"\r\n")
        return [value.decode() for value in found]


@dataclass(frozen=True)
class Server:
    """The process, and how to speak to it from any loopback address."""

    process: subprocess.Popen[bytes]
    port: int
    temporary: Path

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5, source_address=(source, 0))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        return connection

    def say(self, data: bytes | str, source: str = "127.0.0.1") -> Answers:
        """Send these bytes and read until the other side closes, or says no more."""
        with self.connect(source) as connection:
            with suppress(OSError):
                connection.sendall(data.encode("latin-1") if isinstance(data, str) else data)
            return heard(connection)

    def get(self, path: str, headers: str = "", source: str = "127.0.0.1", method: str = "GET") -> Answers:
        return self.say(f"{method} {path} HTTP/1.1\r\n{HEAD}{headers}Connection: close\r\n\r\n", source)

    def post(self, path: str, body: bytes, headers: str = "", source: str = "127.0.0.1") -> Answers:
        head = f"POST {path} HTTP/1.1\r\n{HEAD}{headers}Connection: close\r\n"
        return self.say(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body, source)

    def stream(self, head: str, block: bytes, most: int, source: str) -> tuple[int, Answers, int]:
        """Send `block` again and again: how many bytes went out before the end, what was said, and temporary files seen."""
        sent = files = 0
        with self.connect(source) as connection, suppress(OSError):
            connection.sendall(head.encode())
            try:
                while sent < most:
                    connection.sendall(block)
                    sent += len(block)
                    files = max(files, self.temporary_files())
            except OSError:
                pass
            return sent, heard(connection), files
        raise AssertionError("unreachable")

    def memory(self, peak: bool = False) -> int:
        """Bytes that are resident now, or were at most since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:" if peak else "VmRSS:")[1].split()[0]) * 1024

    def forget_peak(self) -> int:
        """Memory as it is now, from which a peak is counted."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.memory()

    def temporary_files(self) -> int:
        """How many are open; they have no name, so that a look into the folder would not show them."""
        found = 0
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(OSError):
                found += str(self.temporary) in os.readlink(descriptor)
        return found


def heard(connection: socket.socket) -> Answers:
    data, closed = b"", False
    connection.settimeout(1.0)
    with suppress(TimeoutError):
        try:
            while block := connection.recv(65536):
                data += block
            closed = True
        except ConnectionError:
            closed = True
    return Answers(data, closed)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Server]:
    """`python -m service`, ready, which believes one proxy."""
    folder, temporary = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("temporary")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "PORT": port, "DATABASE": folder / "service.db", "DECODERS": 1, "MAX_UPLOAD_BYTES": CAP, "TRUSTED_PROXIES": PROXY,
        "GUEST_PREDICTIONS_PER_MINUTE": SHARE,
    }  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(temporary), **{f"SERVICE_{name}": str(value) for name, value in settings.items()}}
    process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, cwd=root, stderr=subprocess.DEVNULL)
    server = Server(process, port, temporary)
    try:
        wait_until_ready(server)
        yield server
        assert process.poll() is None, "the service died"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(server: Server) -> None:
    end = time.monotonic() + 60
    while True:
        assert server.process.poll() is None, "the service did not start"
        assert time.monotonic() < end, "the service never became ready"
        with suppress(OSError):
            if server.get("/readyz").statuses == [200]:
                return
        time.sleep(0.1)


def picture_form(size: int) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="x.jpg"\r\n\r\n'
    return head + b"x" * size + b"\r\n--edge--\r\n"


def chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED, JSON = "Transfer-Encoding: chunked\r\n", "Content-Type: application/json\r\n"
FORM, FIELDS = "Content-Type: multipart/form-data; boundary=edge\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"
LIMITS = {"/v1/predictions": CAP + ROOM, "/invocations": CAP + ROOM, "/v1/predictions/batch": 4 * CAP + ROOM, "/": 4 * CAP + ROOM}
SMALL = {"/v1/sessions": ROOM, "/v1/users": ROOM, "/sign-in": ROOM, "/v1/set-up": ROOM}
ELSEWHERE = {"/v1/runs": ROOM, "/runs": ROOM, "/livez": ROOM, "/nowhere": ROOM, "/static/style.css": ROOM}


@pytest.mark.parametrize(("size", "status"), [(CAP, 422), (CAP + 1, 413), (CAP + ROOM, 413), (CAP + ROOM + 1, 413)])
@pytest.mark.parametrize("announced", [True, False])
def test_a_picture_of_one_byte_too_much_is_refused(server: Server, size: int, status: int, announced: bool):
    source, body = f"127.0.1.{1 + announced}", b"x" * size
    if announced:
        answers = server.post("/v1/predictions", body, source=source)
    else:
        head = f"POST /v1/predictions HTTP/1.1\r\n{HEAD}{CHUNKED}Connection: close\r\n\r\n"
        answers = server.say(head.encode() + chunked(body), source)
    assert (answers.statuses, answers.closed) == ([status], True)


@pytest.mark.parametrize(("size", "status"), [(ROOM, 400), (ROOM + 1, 413)])
def test_json_of_one_byte_too_much_is_refused(server: Server, size: int, status: int):
    assert server.post("/v1/sessions", b"x" * size, JSON).statuses == [status]
    answers = server.say(f"POST /v1/sessions HTTP/1.1\r\n{HEAD}{CHUNKED}Connection: close\r\n\r\n".encode() + chunked(b"x" * size))
    assert answers.statuses == [status]


@pytest.mark.parametrize("path", {**LIMITS, **SMALL})
def test_a_body_that_announces_too_much_is_refused_before_a_byte_of_it(server: Server, path: str):
    for expect in ("", "Expect: 100-continue\r\n"):
        answers = server.say(f"POST {path} HTTP/1.1\r\n{HEAD}{FORM}{expect}Content-Length: 10000000000\r\n\r\n", "127.0.1.3")
        assert (answers.statuses, answers.closed) == ([413], True)


@pytest.mark.parametrize("path", {**LIMITS, **SMALL, **ELSEWHERE})
@pytest.mark.parametrize("kind", ["announced", "chunked", "form"])
def test_an_endless_stream_is_cut_and_costs_neither_memory_nor_disk(server: Server, path: str, kind: str):
    limit = {**LIMITS, **SMALL, **ELSEWHERE}[path]
    head = f"POST {path} HTTP/1.1\r\n{HEAD}" + (FORM if kind == "form" else JSON if path.startswith("/v1") else FIELDS)
    if kind == "announced":
        head, block = f"{head}Content-Length: 10000000000\r\n\r\n", b"x" * 65536
    else:
        head, block = f"{head}{CHUNKED}\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"
    if kind == "form":
        start = picture_form(0).removesuffix(b"\r\n--edge--\r\n").decode()
        head += f"{len(start):x}\r\n{start}\r\n"
    before = server.forget_peak()
    sent, answers, files = server.stream(head, block, 200 * MB, source="127.0.1.4" if path == "/" else "127.0.1.5")
    assert sent < (0 if kind == "announced" else limit) + IN_THE_KERNEL
    assert answers.closed
    assert all(400 <= status < 500 for status in answers.statuses)
    assert files == 0
    assert server.memory(peak=True) - before <= 5 * MB + (0 if kind == "announced" else 2 * limit)


def test_refusing_again_and_again_does_not_add_up(server: Server):
    head, block = f"POST / HTTP/1.1\r\n{HEAD}{FORM}{CHUNKED}\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"
    server.stream(head, block, 20 * MB, "127.0.1.6")
    before = server.memory()
    for _ in range(10):
        server.stream(head, block, 20 * MB, "127.0.1.6")
    assert server.memory() - before <= 5 * MB


def test_a_length_that_promises_more_than_comes_harms_nobody(server: Server):
    with server.connect("127.0.1.7") as connection:
        connection.sendall(f"POST /v1/predictions HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\nshort".encode())
        connection.shutdown(socket.SHUT_WR)
        assert heard(connection).statuses in ([], [400])
    assert server.get("/livez").statuses == [200]


def test_a_length_that_promises_less_than_comes_leaves_the_rest_unread(server: Server):
    answers = server.say(f"{POST}{JSON}Content-Length: 2\r\n\r\n{{}} and more than was announced\r\n\r\n")
    assert ({*answers.statuses}, answers.closed) == ({400}, True)


def test_those_who_send_a_byte_now_and_then_keep_nobody_waiting(server: Server):
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect("127.0.1.8")) for _ in range(60)]
        for number, connection in enumerate(slow):
            head = f"POST /v1/predictions HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n" + ("\r\n" if number % 2 else "X: ")
            connection.sendall(head.encode())
        for _ in range(5):
            for connection in slow:
                connection.sendall(b"x")
            start = time.monotonic()
            assert server.get("/livez").statuses == [200]
            assert server.post("/v1/predictions", b"no picture", source="127.0.1.9").statuses == [422]
            assert time.monotonic() - start < 1
    assert server.get("/livez").statuses == [200]


def test_a_client_that_goes_away_in_the_middle_harms_nobody(server: Server):
    for number in range(20):
        with server.connect("127.0.1.10") as connection:
            connection.sendall(
                f"POST /v1/predictions HTTP/1.1\r\n{HEAD}{FORM}Content-Length: 100000\r\n\r\n".encode() + b"x" * number * 999
            )
    assert server.get("/livez").statuses == [200]


BEGUN = f"POST /v1/sessions HTTP/1.1\r\n{HEAD}{CHUNKED}\r\n2\r\n{{}}\r\n"
ENDLESS_HEADS = {
    "an address": ("GET /", b"a"),
    "a method": ("", b"A"),
    "a header's value": (f"GET /livez HTTP/1.1\r\n{HEAD}X: ", b"a"),
    "a header's name": (f"GET /livez HTTP/1.1\r\n{HEAD}", b"a"),
    "headers": (f"GET /livez HTTP/1.1\r\n{HEAD}", b"X: a\r\n"),
    "a cookie": (f"GET / HTTP/1.1\r\n{HEAD}Cookie: ", b"a=b; "),
    "a trailer": (BEGUN + "0\r\nX: ", b"a"),
    "trailers": (BEGUN + "0\r\n", b"X: a\r\n"),
    "an extension of a chunk": (BEGUN + "2;", b"a"),
}


@pytest.mark.parametrize("what", ENDLESS_HEADS)
def test_a_head_without_end_is_cut_and_costs_no_memory(server: Server, what: str):
    begin, more = ENDLESS_HEADS[what]
    before = server.forget_peak()
    sent, answers, _ = server.stream(begin, more * (65536 // len(more)), 100 * MB, "127.0.1.11")
    assert sent < IN_THE_KERNEL
    assert (answers.statuses, answers.closed) in (([400], True), ([], True))
    assert server.memory(peak=True) - before <= 5 * MB


@pytest.mark.parametrize(("size", "status"), [(30_000, 200), (33_000, 400)])
def test_a_head_of_thirty_two_kilobytes_is_the_most(server: Server, size: int, status: int):
    assert server.get("/livez", f"X: {'a' * size}\r\n").statuses == [status]
    assert server.get("/livez", "X: 1234567\r\n" * (size // 8)).statuses == [status]


def test_a_body_in_tiny_pieces_is_no_head(server: Server):
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b"{" + b" " * 20_000 + b"}") + b"0\r\n\r\n"
    answers = server.say(f"POST /v1/sessions HTTP/1.1\r\n{HEAD}{JSON}{CHUNKED}Connection: close\r\n\r\n".encode() + body)
    assert (answers.statuses, b"malformed_request" in answers.data) == ([400], True)


def test_a_request_behind_a_large_one_is_answered_too(server: Server):
    first = f"POST /v1/sessions HTTP/1.1\r\n{HEAD}{JSON}Content-Length: 60000\r\n\r\n" + " " * 60_000
    answers = server.say(first + f"GET /livez HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n")
    assert answers.statuses == [400, 200]


HIDDEN = f"GET /livez HTTP/1.1\r\n{HEAD}\r\n"
POST = f"POST /v1/sessions HTTP/1.1\r\n{HEAD}"
BOTH = f"Content-Length: {5 + len(HIDDEN)}\r\n\r\n0\r\n\r\n{HIDDEN}"
CODINGS = ("xchunked", "identity", "chunked, identity", "gzip, chunked", "Chunked", " chunked ", "chunked\x0b", "chunked;q=1", "")
LENGTHS = ("+2", "-2", "0x2", "2 2", "2,", "\xb2", "9" * 30, "1e1", "2.0", "")
SMUGGLED = {
    "length, then chunks": f"{POST}Content-Length: {5 + len(HIDDEN)}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks, then length": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a length twice": f"{POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}",
    "a list of lengths": f"{POST}Content-Length: 2, 2\r\n\r\n{{}}{HIDDEN}",
    "two codings": f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a space before the colon": f"{POST}Transfer-Encoding : chunked\r\n{BOTH}",
    "a space before the length's colon": f"{POST}Content-Length : 2\r\n\r\n{{}}{HIDDEN}",
    "a folded header": f"{POST}X: y\r\n Transfer-Encoding: chunked\r\n{BOTH}",
    "lines that end without CR": f"POST /v1/sessions HTTP/1.1\nHost: x\nContent-Length: 2\n\n{{}}{HIDDEN}",
    "lines that end without LF": f"POST /v1/sessions HTTP/1.1\r\nHost: x\rContent-Length: 2\r\n\r\n{{}}{HIDDEN}",
    "a header without a name": f"{POST}: x\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}",
    "a zero byte": f"{POST}X: a\0b\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}",
    "a negative chunk": f"{POST}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{HIDDEN}",
    "a chunk in C's hexadecimal": f"{POST}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}",
    "a chunk beyond 64 bits": f"{POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{{}}\r\n0\r\n\r\n{HIDDEN}",
    "a chunk's line that is two": f'{POST}Transfer-Encoding: chunked\r\n\r\n2;a="\n"\r\n{{}}\r\n0\r\n\r\n{HIDDEN}',
    "chunks without CR": f"{POST}Transfer-Encoding: chunked\r\n\r\n2\n{{}}\n0\n\n{HIDDEN}",
    "a chunk that goes on": f"{POST}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}XX0\r\n\r\n{HIDDEN}",
    "chunks in HTTP/1.0": f"POST /v1/sessions HTTP/1.0\r\n{HEAD}Transfer-Encoding: chunked\r\n{BOTH}",
    "a version to come": f"POST /v1/sessions HTTP/1.2\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}{HIDDEN}",
    "HTTP/2 without asking": f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{HIDDEN}",
    "a target with a space": f"POST /v1/sessions /x HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}{HIDDEN}",
    **{f"the coding {coding!r}": f"{POST}Transfer-Encoding: {coding}\r\n{BOTH}" for coding in CODINGS},
    **{f"the length {length!r}": f"{POST}Content-Length: {length}\r\n\r\n{{}}{HIDDEN}" for length in LENGTHS},
}
WHOLE = {
    "a GET with a body": f"GET /version HTTP/1.1\r\n{HEAD}Connection: close\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a length with an underscore": f"{POST}Content_Length: 2\r\nConnection: close\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a method as a header": f"{POST}X-HTTP-Method: GET\r\nConnection: close\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "more behind the last request": f"{POST}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}",
}


@pytest.mark.parametrize("how", SMUGGLED)
def test_a_request_whose_end_can_be_disputed_is_refused_and_the_connection_closed(server: Server, how: str):
    answers = server.say(SMUGGLED[how])
    assert (answers.statuses, answers.closed) == ([400], True)
    assert b'"live"' not in answers.data


@pytest.mark.parametrize("how", WHOLE)
def test_a_request_inside_another_is_no_request(server: Server, how: str):
    answers = server.say(WHOLE[how])
    assert (len(answers.statuses), answers.closed) == (1, True)
    assert b'"live"' not in answers.data


def asked_for_pictures(server: Server, source: str, number: int, headers: str = "") -> list[int]:
    """What a guest is answered who sends so many pictures; {} in the headers is their number."""
    return [server.post("/v1/predictions", b"", headers.format(n), source).statuses[0] for n in range(number)]


SPOOFED = "".join(f"{name}: 203.0.113.{{0}}\r\n" for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP"))


def test_a_stranger_cannot_say_where_requests_come_from(server: Server):
    answers = asked_for_pictures(server, "127.0.0.8", 2 * SHARE, SPOOFED)
    assert (answers[:SHARE], answers[-1]) == ([422] * SHARE, 429)
    assert asked_for_pictures(server, "127.0.0.9", 1) == [422]


def test_a_trusted_proxy_is_believed_about_the_last_hop_alone(server: Server):
    answers = asked_for_pictures(server, PROXY, 2 * SHARE, "X-Forwarded-For: 203.0.113.{0}, 198.51.100.7\r\n")
    assert (answers[:SHARE], answers[-1]) == ([422] * SHARE, 429)
    for last in ("198.51.100.8", "203.0.113.1"):
        assert asked_for_pictures(server, PROXY, 1, f"X-Forwarded-For: 198.51.100.7, {last}\r\n") == [422]


def test_several_lines_of_hops_are_one_list(server: Server):
    lines = "X-Forwarded-For: 203.0.113.{0}\r\nX-Forwarded-For: 198.51.100.9\r\n"
    assert asked_for_pictures(server, PROXY, 2 * SHARE, lines)[-1] == 429


def test_only_a_trusted_proxy_says_that_the_connection_was_encrypted(server: Server):
    scheme = "X-Forwarded-Proto: https\r\n"
    assert server.get("/livez", scheme, PROXY).header("strict-transport-security") == ["max-age=31536000"]
    assert server.get("/livez", scheme).header("strict-transport-security") == []
    assert server.get("/livez", "X-Forwarded-Proto: gopher\r\n", PROXY).header("strict-transport-security") == []


def varying(answers: Answers) -> bytes:
    """An answer without what is different each time."""
    return re.sub(rb"(?im)^(date|x-request-id): .*?\r$|[0-9a-f]{16}", b"", answers.data)


MISLEADING = [
    "X-Original-URL: /metrics\r\n", "X-Rewrite-URL: /metrics\r\n", "X-Forwarded-Host: evil.example\r\n",
    "X-Forwarded-Prefix: /evil\r\n",
    "X-Forwarded-Server: evil.example\r\n", "X-Host: evil.example\r\n", "Forwarded: host=evil.example;proto=https\r\n",
    "X-HTTP-Method-Override: DELETE\r\n", "X-Forwarded-Port: 1\r\n", "X-Scheme: https\r\n", "X-Script-Name: /evil\r\n",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/runs", "/api", "/nowhere", "/sign-in?after=/runs", "/livez"])
def test_headers_that_some_servers_believe_change_nothing(server: Server, path: str):
    accept = "Accept: text/html\r\n"
    plain = varying(server.get(path, accept))
    for header in MISLEADING:
        assert varying(server.get(path, accept + header)) == plain, header


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/", "/static", "/static/", "/nowhere", "/sign-in", "/account", "/v1/runs", "/v1/runs/"]
)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:1", "[", 'a"><x-evil>', "", "service.example@evil.example", "evil.example/x?"]
)
def test_the_name_that_a_request_calls_us_by_leads_nowhere(server: Server, path: str, host: str):
    answers = server.say(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
    assert answers.statuses[0] in (200, 303, 400, 401, 404)
    assert b"evil" not in answers.data
    assert not [place for place in answers.header("location") if not place.startswith("/")]


ABSENT = [
    "/.git/HEAD", "/.git/config", "/.env", "/.htaccess", "/debug", "/debug/pprof", "/console", "/docs", "/redoc", "/swagger",
    "/swagger-ui.html", "/graphql", "/admin", "/server-status", "/actuator/env", "/phpinfo.php", "/backup.sql", "/var/service.db",
    "/service.db", "/slipway.toml", "/service/app.py", "/requirements.txt", "/Dockerfile", "/templates/home.html", "//etc/passwd",
    "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static", "/static/", "/static/vendor", "/static/vendor/", "/static/.",
    "/static/..", "/static/../templates/home.html", "/static/../../app.py", "/static/%2e%2e/templates/home.html", "/static/~",
    "/static/..%2f..%2fapp.py", "/static/..%5c..%5capp.py", "/static/%252e%252e/app.py", "/static//etc/passwd",
    "/static/%2fetc/passwd", "/static/vendor/../../templates/home.html", "/static/style.css%00.js", "/static/" + "a" * 5000,
    "/static/style.css~", "/static/.style.css.swp", "/static/templates/home.html", "/static/errors.py", "/static/__init__.py",
]  # fmt: skip


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_nobodys_business_is_not_there(server: Server, path: str):
    answers = server.get(path)
    assert answers.statuses == [404]
    assert answers.header("content-type") == ["application/problem+json"]


@pytest.mark.parametrize("path", ["/", "/livez", "/static/style.css", "/nowhere", "*", "http://service.example/livez"])
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "OPTIONS"])
def test_no_request_is_echoed(server: Server, method: str, path: str):
    answers = server.get(path, "X-Secret: canary\r\nCookie: session=canary\r\n", method=method)
    assert answers.statuses[0] in (400, 404, 405)
    assert b"canary" not in answers.data


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/nowhere", "/static/style.css", "/v1/me", "/openapi.json", "/metrics", "/version", "/api"]
)
def test_nothing_tells_what_the_service_is_made_of(server: Server, path: str):
    answers = server.get(path, "Accept: text/html\r\n")
    assert not [name for name in ("server", "x-powered-by", "via", "x-aspnet-version") if answers.header(name)]
    assert not re.search(rb"(?i)uvicorn|starlette|python[_/ -]?(info|\d)|cpython|torch|sqlite", answers.data)


def test_a_broken_request_tells_nothing_either(server: Server):
    answers = server.say("GET / HTTP/1.1\r\nX Y: z\r\n\r\n")
    assert (answers.statuses, answers.closed) == ([400], True)
    assert answers.data.endswith(b"\r\n\r\nInvalid HTTP request received.")


def test_nothing_but_http_is_spoken(server: Server):
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nSec-WebSocket-Version: 13\r\n"
    assert server.say(f"GET /livez HTTP/1.1\r\n{HEAD}{upgrade}\r\n").statuses in ([200], [400], [403])
    assert server.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64).statuses == [400]
    assert server.say(b"\xff\xf4\xff\xfd\x06" * 10).statuses == [400]


def answers_of(server: Server) -> Mapping[str, Answers]:
    return {path: server.get(path) for path in ("/", "/livez", "/runs", "/v1/me", "/nowhere", "/static/style.css", "/metrics")}


def test_every_answer_is_safe_to_show(server: Server):
    for path, answers in answers_of(server).items():
        assert answers.header("x-content-type-options") == ["nosniff"], path
        assert answers.header("x-frame-options") == ["DENY"], path
        assert len(answers.header("content-security-policy")) == 1, path
