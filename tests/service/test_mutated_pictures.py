"""Thousands of pictures, each damaged in its own way: every one ends in pixels or in a refusal, and the decoders live on."""

from __future__ import annotations

import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.errors import BadImage
from service.images.pool import DecoderPool
from service.inference.description import Preprocessing
from tests.service.pictures import SAMPLES, chunk

pytestmark = pytest.mark.slow
STEPS = Preprocessing(32, "bicubic", 24, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
PER_PICTURE = 300  # 6,000 in all
BASES = (
    "jpeg", "progressive jpeg", "cmyk jpeg", "mpo", "png", "interlaced png", "animated png", "4-bit png with a transparent index",
    "gif", "animated gif", "bmp", "run-length bmp", "webp", "lossless webp", "animated webp", "tiff raw", "tiff tiff_lzw",
    "tiff jpeg", "tiff lzma", "float tiff",
)  # fmt: skip
Mutation = Callable[[bytes, random.Random], bytes]


def bits_flipped(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 40))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def head_edited(data: bytes, chance: random.Random) -> bytes:
    """Numbers near the beginning, where sizes, counts and offsets are, become ones that programs fall over."""
    damaged = bytearray(data)
    at = chance.randrange(min(200, len(data) - 4))
    value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 6_000))
    form = chance.choice(("<I", ">I", "<H", ">H", "<B"))
    size = struct.calcsize(form)
    damaged[at : at + size] = struct.pack(form, value & (1 << 8 * size) - 1)
    return bytes(damaged)


def cut_short(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def piece_moved(data: bytes, chance: random.Random) -> bytes:
    """A piece is taken out, put elsewhere, or repeated."""
    start, length = chance.randrange(len(data)), chance.choice((1, 4, 12, 64, 500))
    piece, rest = data[start : start + length], data[:start] + data[start + length :]
    at = chance.randrange(len(rest) + 1)
    return chance.choice((rest, rest[:at] + piece + rest[at:], data[:at] + piece * chance.choice((1, 2, 50)) + data[at:]))


def spliced(data: bytes, chance: random.Random) -> bytes:
    """The beginning of one picture, the end of another of any format."""
    other = SAMPLES[chance.choice(BASES)].data
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def joined(data: bytes, chance: random.Random) -> bytes:
    return data + bits_flipped(SAMPLES[chance.choice(BASES)].data, chance)


def marked(data: bytes, chance: random.Random) -> bytes:
    """A segment, chunk or block that is well formed and comes where it should not."""
    rubbish = chance.randbytes(chance.choice((0, 1, 13, 300)))
    at = chance.randrange(len(data))
    kind = chance.choice((b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"iCCP", b"eXIf", b"zTXt", b"IDAT", b"IEND"))
    marker = bytes((0xFF, chance.choice((0xC0, 0xC2, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE))))
    block = chance.choice((b"!\xf9\x04", b"!\xff\x0b", b"!\xfe", b",", b";")) + rubbish + b"\0"
    return (
        data[:at] + chance.choice((chunk(kind, rubbish), marker + struct.pack(">H", len(rubbish) + 2) + rubbish, block)) + data[at:]
    )


def resealed(data: bytes, chance: random.Random) -> bytes:
    """A PNG damaged behind its checksums, so that the damage gets past them; anything else as `head_edited`."""
    if not data.startswith(b"\x89PNG"):
        return head_edited(data, chance)
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind == b"IDAT" and chance.random() < 0.3:
            body = zlib.compress(bits_flipped(zlib.decompress(body), chance))
        elif body and chance.random() < 0.5:
            body = bits_flipped(body, chance)
        chunks.append(chunk(kind, body))
        at += 12 + length
    return data[:8] + b"".join(chunks)


MUTATIONS: tuple[Mutation, ...] = (bits_flipped, head_edited, cut_short, piece_moved, spliced, joined, marked, resealed)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(2)
    pool.start()
    yield pool
    pool.close()


def outcome(pool: DecoderPool, data: bytes, *, keep: bool) -> str:
    """What comes of a picture; anything but a refusal of the decoder's own is raised."""
    try:
        prepared = pool.prepare(data, STEPS, keep=keep)
    except BadImage as refusal:
        if "could not be decoded" in str(refusal):  # it died, or stumbled where it should have refused
            raise
        return type(refusal).__name__
    assert (prepared.pixels.shape, prepared.pixels.dtype) == ((24, 24, 3), np.uint8)
    assert (prepared.pictures is not None) == keep
    return "decoded"


@pytest.mark.parametrize("kind", BASES)
def test_a_damaged_picture_is_decoded_or_refused(pool: DecoderPool, kind: str):
    chance = random.Random(f"mutations of {kind}")
    mutated = [chance.choice(MUTATIONS)(SAMPLES[kind].data, chance) for _ in range(PER_PICTURE)]
    with ThreadPoolExecutor(2) as threads:
        outcomes = Counter(threads.map(lambda n: outcome(pool, mutated[n], keep=n % 2 == 0), range(PER_PICTURE)))
    assert outcomes.total() == PER_PICTURE
    assert outcomes["decoded"] > 0
    assert outcomes["BadImage"] + outcomes["TruncatedImage"] > PER_PICTURE / 10, outcomes
    assert (outcomes["DecodingTooSlow"], outcomes["DecodingTooLarge"], pool.deaths) == (0, 0, 0)
