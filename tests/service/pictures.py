"""Pictures of every kind that people send, each with what a person sees in it, and writers for kinds that Pillow cannot write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.inference.description import Preprocessing

Pixels = NDArray[np.uint8]
SIZE = (64, 48)
# The middle 48 x 48 pixels as they are: what is seen can be compared pixel by pixel.
AS_IT_IS = Preprocessing(48, "bicubic", 48, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Mean difference of a channel, of 255.
LOSSY, ROUNDING, BLENDING = 5.0, 1.0, 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture, what is seen in it as uint8[height, width, 3], and how far decoding may be off on average."""

    data: bytes
    seen: Pixels
    loss: float = 0.0

    @property
    def middle(self) -> Pixels:
        return self.seen[:, 8:56]


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def rgb(picture: Image.Image | NDArray[np.generic]) -> Pixels:
    values = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture).astype(np.uint8)
    return values if values.ndim == 3 else np.stack([values] * 3, axis=2)


def over_white(picture: Image.Image | NDArray[np.generic], alpha: NDArray[np.generic]) -> Pixels:
    share = alpha.astype(float)[..., None] / 255
    return np.rint(rgb(picture) * share + 255 * (1 - share)).astype(np.uint8)


def scene() -> Image.Image:
    """Nothing in it is like its mirror image or its negative: red to the right, green downwards, a blue disc, a dark corner."""
    x, y = np.meshgrid(np.linspace(0, 255, SIZE[0]), np.linspace(0, 255, SIZE[1]))
    picture = Image.fromarray(np.stack([x, y, np.full_like(x, 60)], axis=2).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((14, 6, 38, 30), fill=(30, 60, 220))
    draw.rectangle((40, 34, 50, 44), fill=(10, 10, 10))
    return picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], depth: int, colour: int, rows: Iterable[bytes], *more: bytes, interlaced: int = 0) -> bytes:
    """A PNG of any depth and colour type; `more` are chunks before the pixels, `rows` come without their filter byte."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 1))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + body + chunk(b"IEND", b"")


def packed(values: Pixels, depth: int) -> list[bytes]:
    """Rows of samples of 1, 2 or 4 bits."""
    bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [row.tobytes() for row in np.packbits(bits.reshape(len(values), -1), axis=1)]


def wide(values: NDArray[np.generic]) -> list[bytes]:
    """Rows of samples of 16 bits, from ones of 8."""
    return [row.astype(">u2").tobytes() for row in values.astype(np.uint16) * 257]


def deep_png(values: Pixels) -> bytes:
    """A PNG of 16 bits per channel, which Pillow writes for no colour picture."""
    return png((values.shape[1], values.shape[0]), 16, 2, wide(values))


def adam7(values: Pixels) -> list[bytes]:
    """Rows of an interlaced PNG: seven passes over the picture."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    return [row.tobytes() for top, left, down, across in passes for row in values[top::down, left::across]]


def tiff(
    values: NDArray[np.generic], *, bits: int, form: int = 1, photometric: int = 1, order: str = "<", raw: bytes = b""
) -> bytes:
    """A TIFF of one uncompressed grey channel, of any kind of number (`form`: 1 unsigned, 2 signed, 3 float)."""
    data = raw or values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: len(data), 339: form}
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8 + len(data))
    return head + data + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def ycck_jpeg(picture: Image.Image) -> bytes:
    """What Photoshop writes for print: CMYK inverted, and turned to luma and chroma as RGB is."""
    inverted = Image.fromarray(255 - rgb(picture)).convert("YCbCr")
    bands = [Image.fromarray(255 - np.asarray(band)) for band in inverted.split()]
    data = bytearray(encoded(Image.merge("CMYK", [*bands, Image.new("L", picture.size)]), "JPEG", quality=100, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2  # the transform: it is YCCK
    return bytes(data)


def rle_bmp(levels: Pixels) -> bytes:
    """A BMP of 8 bits, run-length encoded, with a grey palette."""
    runs = b"".join(b"".join(bytes((1, value)) for value in row) + b"\0\0" for row in levels[::-1]) + b"\0\1"
    palette = b"".join(bytes((value, value, value, 0)) for value in range(256))
    height, width = levels.shape
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(runs), 0, 0, 14 + 40 + 1024) + head + palette + runs


def upside_down_bmp(values: Pixels) -> bytes:
    """A BMP whose first row is the top one, which its negative height says."""
    height, width, _ = values.shape
    data = values[..., ::-1].tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 24, 0, len(data), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + head + data


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


# What a camera held that way stores: the inverse of what the EXIF orientation tells a viewer to do.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(picture: Image.Image, orientation: int, form: str, **options: object) -> bytes:
    return encoded(picture.transpose(STORED[orientation]), form, exif=exif(orientation), **options)


def glass(picture: Image.Image) -> tuple[Image.Image, Pixels]:
    """The picture with an alpha channel from clear to opaque, and what is seen of it over white."""
    sheer = Image.linear_gradient("L").resize(SIZE)
    return Image.merge(f"{picture.mode}A", [*picture.split(), sheer]), over_white(picture, np.asarray(sheer))


def without(picture: Image.Image | NDArray[np.generic], hole: NDArray[np.bool_]) -> Pixels:
    return over_white(picture, np.where(hole, 0, 255))


def lossless(picture: Image.Image, form: str, **options: object) -> Sample:
    return Sample(encoded(picture, form, **options), rgb(picture))


def jpegs(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    black = Image.linear_gradient("L").resize(SIZE)
    ink = Image.merge("CMYK", [*(Image.fromarray(255 - band) for band in np.moveaxis(rgb(colour), 2, 0)), black])
    printed = rgb(np.rint(rgb(colour) * (1 - np.asarray(black)[..., None] / 255)))
    other = Image.new("RGB", SIZE, "red")
    return {
        "jpeg": Sample(encoded(colour, "JPEG", quality=95), rgb(colour), LOSSY),
        "jpeg without subsampling": Sample(encoded(colour, "JPEG", quality=95, subsampling=0), rgb(colour), LOSSY),
        "progressive jpeg": Sample(encoded(colour, "JPEG", quality=95, progressive=True), rgb(colour), LOSSY),
        "jpeg of stored rgb": Sample(encoded(colour, "JPEG", quality=95, keep_rgb=True), rgb(colour), LOSSY),
        "grey jpeg": Sample(encoded(grey, "JPEG", quality=95), rgb(grey), LOSSY),
        "cmyk jpeg": Sample(encoded(ink, "JPEG", quality=95), printed, LOSSY),
        "ycck jpeg": Sample(ycck_jpeg(colour), rgb(colour), LOSSY),
        "mpo": Sample(encoded(colour, "MPO", quality=95, save_all=True, append_images=[other]), rgb(colour), LOSSY),
        **{f"jpeg turned {way}": Sample(turned(colour, way, "JPEG", quality=95), rgb(colour), LOSSY) for way in STORED},
    }


def pngs(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    values, levels = rgb(colour), np.asarray(grey)
    few, fewer = colour.quantize(256), colour.quantize(16)
    indices = np.asarray(few)
    index = int(indices[24, 32])
    (stained, stained_seen), (smoke, smoke_seen) = glass(colour), glass(grey)
    cut = without(values, (values == 10).all(axis=2))
    rows = [row.tobytes() for row in values]
    return {
        "png": lossless(colour, "PNG"),
        "grey png": lossless(grey, "PNG"),
        "1-bit png": lossless(grey.convert("1"), "PNG"),
        **{f"{bits}-bit palette png": lossless(colour.quantize(2**bits), "PNG", bits=bits) for bits in (1, 2, 4, 8)},
        "opaque png with alpha": lossless(colour.convert("RGBA"), "PNG"),
        "png with alpha": Sample(encoded(stained, "PNG"), stained_seen, BLENDING),
        "grey png with alpha": Sample(encoded(smoke, "PNG"), smoke_seen, BLENDING),
        "png with a transparent index": Sample(encoded(few, "PNG", transparency=index), without(few, indices == index)),
        "4-bit png with a transparent index": Sample(
            encoded(fewer, "PNG", transparency=0), without(fewer, np.asarray(fewer) == 0)
        ),
        "png with a fading palette": Sample(
            encoded(few, "PNG", transparency=bytes(range(256))), over_white(few, indices), BLENDING
        ),
        "png with a transparent colour": Sample(png(SIZE, 8, 2, rows, chunk(b"tRNS", struct.pack(">HHH", 10, 10, 10))), cut),
        "16-bit png": Sample(deep_png(values), values),
        "16-bit png with a transparent colour": Sample(
            png(SIZE, 16, 2, wide(values), chunk(b"tRNS", struct.pack(">HHH", *[10 * 257] * 3))), cut
        ),
        "16-bit png with alpha": Sample(png(SIZE, 16, 6, wide(np.asarray(stained))), stained_seen, BLENDING),
        "16-bit grey png": Sample(png(SIZE, 16, 0, wide(levels)), rgb(levels)),
        "16-bit grey png with alpha": Sample(png(SIZE, 16, 4, wide(np.asarray(smoke))), smoke_seen, BLENDING),
        "16-bit grey png with a transparent level": Sample(
            png(SIZE, 16, 0, wide(levels), chunk(b"tRNS", struct.pack(">H", 10 * 257))), without(levels, levels == 10)
        ),
        **{name: sample for depth in (1, 2, 4) for name, sample in shallow_pngs(levels, depth).items()},
        "interlaced png": Sample(png(SIZE, 8, 2, adam7(values), interlaced=1), values),
        "animated png": lossless(colour, "PNG", save_all=True, append_images=[Image.new("RGB", SIZE)]),
        "png turned 6": Sample(turned(colour, 6, "PNG"), values),
    }  # fmt: skip


def shallow_pngs(levels: Pixels, depth: int) -> dict[str, Sample]:
    coarse, last = levels >> (8 - depth), 2**depth - 1
    seen, key = coarse * (255 // last), last - 1
    rows = packed(coarse, depth)
    return {
        f"{depth}-bit grey png": Sample(png(SIZE, depth, 0, rows), rgb(seen)),
        f"{depth}-bit grey png with a transparent level": Sample(
            png(SIZE, depth, 0, rows, chunk(b"tRNS", struct.pack(">H", key))), without(seen, coarse == key)
        ),
    }


def gifs(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    few, black = colour.quantize(128), Image.new("RGB", SIZE)
    index = int(np.asarray(few)[24, 32])
    clear = encoded(few, "GIF", transparency=index, optimize=False)
    return {
        "gif": lossless(few, "GIF"),
        "grey gif": lossless(grey, "GIF"),
        "interlaced gif": lossless(few, "GIF", interlace=1),
        "gif with a transparent index": Sample(clear, without(few, np.asarray(few) == index)),
        "animated gif": lossless(few, "GIF", save_all=True, append_images=[black, black], disposal=2),
    }


def bmps(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    return {
        "bmp": lossless(colour, "BMP"),
        "grey bmp": lossless(grey, "BMP"),
        "1-bit bmp": lossless(grey.convert("1"), "BMP"),
        "palette bmp": lossless(colour.quantize(64), "BMP"),
        "run-length bmp": Sample(rle_bmp(np.asarray(grey)), rgb(grey)),
        "upside-down bmp": Sample(upside_down_bmp(rgb(colour)), rgb(colour)),
    }


def webps(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    stained, stained_seen = glass(colour)
    return {
        "webp": Sample(encoded(colour, "WEBP", quality=95), rgb(colour), LOSSY),
        "lossless webp": lossless(colour, "WEBP", lossless=True),
        "grey webp": lossless(grey, "WEBP", lossless=True),
        "webp with alpha": Sample(encoded(stained, "WEBP", lossless=True, exact=True), stained_seen, BLENDING),
        "animated webp": lossless(colour, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", SIZE)]),
        "webp turned 8": Sample(turned(colour, 8, "WEBP", lossless=True), rgb(colour)),
    }


def tiffs(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    values, levels = rgb(colour), np.asarray(grey)
    (stained, stained_seen), (smoke, smoke_seen) = glass(colour), glass(grey)
    ink = Image.merge("CMYK", [*Image.fromarray(255 - values).split(), Image.new("L", SIZE)])
    red = Image.new("LAB", SIZE, (138, 209, 198))  # sRGB's red is L* 54.3, a* 80.8, b* 69.9 under ICC's white
    packings = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd")
    return {
        **{f"tiff {packing}": lossless(colour, "TIFF", compression=packing) for packing in packings},
        "tiff jpeg": Sample(encoded(colour, "TIFF", compression="jpeg", quality=95), values, LOSSY),
        "big tiff": lossless(colour, "TIFF", big_tiff=True),
        "grey tiff": lossless(grey, "TIFF"),
        "fax tiff": lossless(grey.convert("1"), "TIFF", compression="group4"),
        "palette tiff": lossless(colour.quantize(32), "TIFF"),
        "tiff of two pages": lossless(colour, "TIFF", save_all=True, append_images=[Image.new("RGB", SIZE)]),
        "cmyk tiff": Sample(encoded(ink, "TIFF"), values, BLENDING),
        "lab tiff": Sample(encoded(red, "TIFF"), np.full_like(values, (255, 0, 0)), LOSSY),
        "tiff of luma and chroma": Sample(encoded(colour.convert("YCbCr"), "TIFF"), values, 2),
        "tiff with alpha": Sample(encoded(stained, "TIFF"), stained_seen, BLENDING),
        "grey tiff with alpha": Sample(encoded(smoke, "TIFF"), smoke_seen, BLENDING),
        "white-is-zero tiff": Sample(tiff(levels, bits=8, photometric=0), rgb(255 - levels)),
        "tiff turned 5": Sample(turned(colour, 5, "TIFF"), values),
        "tiff lzw turned 7": Sample(turned(colour, 7, "TIFF", compression="tiff_lzw"), values),
    }


def deep_tiffs(colour: Image.Image, grey: Image.Image) -> dict[str, Sample]:
    """Grey of more than 8 bits. What has no depth of its own is stretched to its brightest, and to its darkest if below 0."""
    levels = np.asarray(grey)
    deep = levels.astype(np.uint16) * 257
    bright = rgb(levels / levels.max() * 255)
    below = levels.astype(np.int32) - 128
    stretched = rgb((below - below.min()) / np.ptp(below) * 255)
    pairs = (levels.astype(np.uint16) << 4).reshape(-1, 2)
    twelve = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    unit = (levels / 255).astype(np.float32)
    patchy, patchy_seen = unit.copy(), levels.copy()
    for row, (value, seen) in enumerate([(np.nan, 0), (np.inf, 255), (-np.inf, 0)]):
        patchy[row, 10:20], patchy_seen[row, 10:20] = value, seen
    return {
        "12-bit tiff": Sample(tiff(levels, bits=12, raw=twelve.astype(np.uint8).tobytes()), rgb(levels)),
        "16-bit tiff": Sample(tiff(deep, bits=16), rgb(levels)),
        "16-bit tiff, big end first": Sample(tiff(deep, bits=16, order=">"), rgb(levels)),
        "16-bit tiff lzw": Sample(encoded(Image.fromarray(deep), "TIFF", compression="tiff_lzw"), rgb(levels)),
        "16-bit white-is-zero tiff": Sample(tiff(deep, bits=16, photometric=0), rgb(255 - levels)),
        "signed 16-bit tiff": Sample(tiff((deep // 2).astype(np.int16), bits=16, form=2), rgb(levels // 2)),
        "32-bit tiff of small numbers": Sample(tiff(levels.astype(np.int32), bits=32, form=2), rgb(levels)),
        "32-bit tiff of 16-bit numbers": Sample(tiff(deep.astype(np.int32), bits=32, form=2, order=">"), rgb(levels)),
        "32-bit tiff of large numbers": Sample(tiff(levels.astype(np.int32) << 23, bits=32, form=2), bright, ROUNDING),
        "32-bit tiff without signs": Sample(tiff(levels.astype(np.uint32) << 24, bits=32), bright, ROUNDING),
        "32-bit tiff with numbers below zero": Sample(tiff(below << 10, bits=32, form=2), stretched, ROUNDING),
        "float tiff": Sample(tiff(unit, bits=32, form=3), rgb(levels)),
        "float tiff, big end first": Sample(tiff(unit, bits=32, form=3, order=">"), rgb(levels)),
        "float tiff of large numbers": Sample(tiff(unit * 1e30, bits=32, form=3), bright, ROUNDING),
        "float tiff with numbers below zero": Sample(tiff(below.astype(np.float32), bits=32, form=3), stretched, ROUNDING),
        "float tiff with holes": Sample(tiff(patchy, bits=32, form=3), rgb(patchy_seen)),
        "float tiff of one number": Sample(tiff(np.full_like(unit, -3), bits=32, form=3), rgb(np.zeros_like(levels))),
    }


def samples() -> dict[str, Sample]:
    """Name -> sample; all show the same scene, in the colours that their kind has."""
    colour = scene()
    grey = colour.convert("L")
    families: tuple[Callable[[Image.Image, Image.Image], dict[str, Sample]], ...] = (
        jpegs,
        pngs,
        gifs,
        bmps,
        webps,
        tiffs,
        deep_tiffs,
    )
    return {name: sample for family in families for name, sample in family(colour, grey).items()}


SAMPLES = samples()
