"""From bytes that someone sent to an upright RGB picture, to what the model takes of it and what is kept. The only place that
imports Pillow. It knows nothing of limits on time and memory: the process around it (`worker.py`) has them.
"""

from __future__ import annotations

import io
import mmap
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from service.errors import BadImage, DecodingTooLarge, EmptyImage, TooManyPixels, TooNarrow, TruncatedImage
from service.images.pixels import Prepared
from service.inference.description import Preprocessing
from service.records import Pictures

# First bytes -> reader. Pillow's own search would ask every format that it knows, EPS and its Ghostscript included. A phone's
# MPO is read as the JPEG that it begins with.
READERS: tuple[tuple[bytes, Callable[[io.BytesIO], ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"GIF87a", GifImagePlugin.GifImageFile),
    (b"GIF89a", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    *((prefix, TiffImagePlugin.TiffImageFile) for prefix in TiffImagePlugin.PREFIXES),
)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
LOSSY = (b"\xff\xd8\xff", b"RIFF")
MAX_PIXELS = 50_000_000
MAX_SHAPE = 100  # long side to short side: scaling keeps the shape, so a line of pixels would become a huge picture
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# EXIF 2.32, tag 0x0112: what to do to see the picture upright.
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
KEPT_SIDE, THUMBNAIL_SIDE = 2048, 320
KEPT_QUALITY, THUMBNAIL_QUALITY = 90, 80
KEPT_LOSSLESS_PIXELS = 1_000_000
PNG_LEVEL = 3  # level 6, Pillow's own choice, takes three times as long for a tenth less
MIN_REDUCED = 0.75  # averaging whole squares takes a tenth of LANCZOS's time: done where the side stays this long
CODEC_BYTES = 12  # what a codec may hold per pixel beside the picture: progressive JPEG 3 x 2, animated WebP 3 x 4
BAND_PIXELS = 1 << 20
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF 6.0
WHITE_IS_ZERO, UNSIGNED = 0, 1

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses at twice this, where a plugin reserves memory before we see the size
# Pillow imports these only when they are needed, and the process may open no file by then.
Image.preinit()
Image.new("LAB", (1, 1)).convert("RGB")


def prepare(data: bytes, steps: Preprocessing, *, keep: bool) -> Prepared:
    """Decode the first frame, upright and in RGB over white, and cut it for the model; with `keep` also re-encode it for storing.

    The type is what the first bytes say. Resizing for the model is Pillow's, which torchvision's transforms are defined on. Colours
    are taken as sRGB: an embedded ICC profile is ignored, and lost. CMYK in a JPEG is read as Adobe writes it, inverted, and as
    browsers read it. What is kept comes from the decoded pixels alone, so no metadata survives: at most 2048 pixels wide and high;
    PNG when the upload was lossless and of at most a megapixel, else JPEG; the thumbnail is a JPEG within 320 x 320.
    Raises BadImage or one of its children.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about damaged metadata that does not matter here
        try:
            upright = _upright(_opened(data))
            pixels = np.array(_cut(upright, steps))
            return Prepared(pixels, _kept(upright, lossless=not data.startswith(LOSSY)) if keep else None)
        except MemoryError as error:
            raise DecodingTooLarge("the picture takes more memory to decode than it is given") from error


def _opened(data: bytes) -> ImageFile.ImageFile:
    """The picture with only its header read; its size is within bounds."""
    if not data:
        raise EmptyImage("the picture is empty: no bytes were sent")
    reader = next((reader for prefix, reader in READERS if data.startswith(prefix)), None)
    if reader is None:
        raise BadImage(f"not a picture in one of the formats {', '.join(FORMATS)}")
    if _ends_early(data):
        raise TruncatedImage("the picture ends early: its header announces more bytes")
    try:
        picture = reader(io.BytesIO(data))
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"the picture has more than {MAX_PIXELS:,} pixels, which is the most that is decoded") from error
    except Exception as error:  # a plugin stumbles over damaged bytes in any way that Python knows
        if data[8:12] == b"WEBP":
            _require_room(_canvas(data))
        raise BadImage(f"not a picture in one of the formats {', '.join(FORMATS)}, or its header is damaged") from error
    if picture.format == "PNG":
        _match_depth(picture, data[24])
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise TooManyPixels(f"the picture has {width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
    if max(width, height) > MAX_SHAPE * min(width, height):
        raise TooNarrow(f"the picture is {width} x {height}; its long side may be {MAX_SHAPE} times its short side")
    return picture


def _canvas(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP, whose reader needs memory before it can say how large the picture is. The places: RFC 9649."""
    if data[12:16] == b"VP8X":
        return _number(data[24:27]) + 1, _number(data[27:30]) + 1
    if data[12:16] == b"VP8L":
        sides = _number(data[21:25])
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    return _number(data[26:28]) & 0x3FFF, _number(data[28:30]) & 0x3FFF


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _ends_early(data: bytes) -> bool:
    """Whether a format whose header lies anywhere in the file points beyond its end; Pillow would call it no picture at all."""
    if data[8:12] == b"WEBP":
        return len(data) < _number(data[4:8]) + 8
    if data.startswith((b"II*\0", b"MM\0*")):
        return len(data) < int.from_bytes(data[4:8], "little" if data.startswith(b"II") else "big") + 2
    return False


def _upright(picture: ImageFile.ImageFile) -> Image.Image:
    """Decoded, in RGB, turned as EXIF says, and with nothing but pixels."""
    try:
        picture.load()
        upright = _in_colour(picture)
        turn = _turn(picture)
    except MemoryError:
        raise
    except Exception as error:
        _require_room(picture.size)
        raise TruncatedImage("the picture ends early or is damaged") from error
    del picture  # and with it what its codec holds, before the copy is made
    if turn is not None:
        upright = upright.transpose(turn)
    upright.info = {}  # encoders write the profile, the comment and more that they find here
    return upright


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(picture.getexif().get(ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # damaged metadata is no reason to refuse the picture
        return None


def _require_room(size: tuple[int, int]) -> None:
    """Raise MemoryError if a codec may have failed for want of memory: not all of them say so."""
    try:
        mmap.mmap(-1, CODEC_BYTES * min(size[0] * size[1], MAX_PIXELS) or 1).close()
    except OSError as error:
        raise MemoryError("no room for what a codec needs") from error


def _in_colour(picture: Image.Image) -> Image.Image:
    """RGB with 8 bits a channel, over white where the picture is transparent."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _shallow(picture).convert("RGB")
    if not picture.has_transparency_data:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    seen = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(seen, mask=seen)
    return paper


def _match_depth(picture: Image.Image, depth: int) -> None:
    """Bring a PNG's one transparent colour to the 8 bits that its pixels are brought to; Pillow leaves it at the file's depth."""
    key = picture.info.get("transparency")
    if picture.mode == "L" and isinstance(key, int):
        levels = 2**depth
        picture.info["transparency"] = key % levels * 255 // (levels - 1)
    elif picture.mode == "RGB" and isinstance(key, tuple):
        picture.info["transparency"] = tuple(value >> depth - 8 & 0xFF for value in key)


def _shallow(picture: Image.Image) -> Image.Image:
    """Grey of 8 bits from grey of 12 bits or more, where Pillow would clip to white instead of scaling.

    Integers keep the levels that their depth has. 32-bit integers and floats mostly have no depth that means anything, so their
    black is 0, or the darkest when that is below, and their white is the first that the brightest fits under of 8 bits, 16 bits
    and itself; for floats of 1 and itself.
    """
    tags = getattr(picture, "tag_v2", {})
    if picture.mode == "F":
        black, white = _range(picture, (1.0,))
        scale = 255 / (white - black or 1)
    else:
        black, white = _range(picture, (255, 65535)) if picture.mode == "I" else (0, 4095 if tags.get(BITS) == (12,) else 65535)
        scale = 256 / (white - black + 1)
    grey = Image.new("L", picture.size)
    for top, values in _bands(picture):
        levels = np.nan_to_num((values.astype(np.float64) - black) * scale + (0.5 if picture.mode == "F" else 0), nan=0.0)
        band = np.clip(levels, 0, 255).astype(np.uint8)
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            band = 255 - band
        if isinstance(key := picture.info.get("transparency"), int):
            band[values == key] = 255
        grey.paste(Image.fromarray(band), (0, top))
    return grey


def _range(picture: Image.Image, whites: tuple[float, ...]) -> tuple[float, float]:
    lowest = highest = 0.0
    for _, values in _bands(picture):
        finite = values[np.isfinite(values)]
        lowest, highest = float(finite.min(initial=lowest)), float(finite.max(initial=highest))
    return lowest, next((white for white in whites if highest <= white and lowest >= 0), highest)


def _bands(picture: Image.Image) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """The rows from the top, some at a time, each with the number of its first row: arrays of all at once would take too much."""
    unsigned = picture.mode == "I" and getattr(picture, "tag_v2", {}).get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,)
    step = max(1, BAND_PIXELS // picture.width)
    for top in range(0, picture.height, step):
        values = np.asarray(picture.crop((0, top, picture.width, min(top + step, picture.height))))
        yield top, values.view(np.uint32) if unsigned else values


def _cut(picture: Image.Image, steps: Preprocessing) -> Image.Image:
    """The crop that the model takes, from the centre."""
    scaled = picture.resize(_short_side_to(steps.resize, picture.size), FILTERS[steps.filter])
    left, top = (round((side - steps.crop) / 2) for side in scaled.size)
    return scaled.crop((left, top, left + steps.crop, top + steps.crop))


def _short_side_to(length: int, size: tuple[int, int]) -> tuple[int, int]:
    """The size with its short side `length` and the same shape; the long side rounds down, as torchvision's Resize does."""
    width, height = size
    if width <= height:
        return length, int(length * height / width)
    return int(length * width / height), length


def _kept(upright: Image.Image, *, lossless: bool) -> Pictures:
    shown = _within(KEPT_SIDE, upright)
    thumbnail = _encoded(_within(THUMBNAIL_SIDE, shown), "JPEG", quality=THUMBNAIL_QUALITY)
    if lossless and upright.width * upright.height <= KEPT_LOSSLESS_PIXELS:
        return Pictures(_encoded(shown, "PNG", compress_level=PNG_LEVEL), thumbnail, "image/png", *shown.size)
    return Pictures(_encoded(shown, "JPEG", quality=KEPT_QUALITY), thumbnail, "image/jpeg", *shown.size)


def _within(side: int, picture: Image.Image) -> Image.Image:
    """At most `side` pixels wide and high; a smaller picture stays as it is."""
    longest = max(picture.size)
    if longest <= side:
        return picture
    factor = -(-longest // side)
    if longest // factor >= side * MIN_REDUCED:
        return picture.reduce(factor)
    width, height = (max(1, round(length * side / longest)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=1.5)


def _encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    try:
        picture.save(file, form, **options)
    except OSError as error:
        raise MemoryError("an encoder has no other reason to fail") from error
    return file.getvalue()
