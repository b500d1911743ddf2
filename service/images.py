"""From bytes that someone sent to pixels that the model takes. The only place that imports Pillow."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from service.errors import BadImage, EmptyImage, TooManyPixels, TooNarrow, TruncatedImage
from service.inference.description import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
MAX_SHAPE = 100  # long side to short side: scaling keeps the shape, so a line of pixels would become a huge picture
Image.MAX_IMAGE_PIXELS = None  # ours is checked on the header, before Pillow's own warning would come
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def media_type(data: bytes) -> str:
    """The type that the bytes themselves declare, such as `image/jpeg`. Raises BadImage."""
    with _opened(data) as picture:
        kind = "JPEG" if picture.format == "MPO" else picture.format  # a JPEG that brings further pictures along
        return Image.MIME[kind or ""]


def to_pixels(data: bytes, steps: Preprocessing) -> NDArray[np.float32]:
    """Decode and preprocess: float32[3, crop, crop], RGB, normalised. Raises BadImage or one of its children.

    Resizing is Pillow's, which torchvision's transforms for this model are defined on.
    """
    with _opened(data) as picture:
        try:
            upright = _in_colour(ImageOps.exif_transpose(picture))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise TruncatedImage("the picture ends early or is damaged") from error
    scaled = upright.resize(_short_side_to(steps.resize, upright.size), FILTERS[steps.filter])
    left, top = (round((side - steps.crop) / 2) for side in scaled.size)
    cut = scaled.crop((left, top, left + steps.crop, top + steps.crop))
    values = np.asarray(cut, dtype=np.float32) / np.float32(255)
    normal = (values - np.array(steps.mean, np.float32)) / np.array(steps.deviation, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)


def _in_colour(picture: Image.Image) -> Image.Image:
    """RGB with 8 bits a channel. Pillow would clip 16-bit grey to white instead of scaling it."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture.convert("RGB")


def _opened(data: bytes) -> Image.Image:
    """The picture with only its header read; its size is within bounds."""
    if not data:
        raise EmptyImage("the picture is empty: no bytes were sent")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about damaged metadata that does not matter here
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadImage(f"not a picture in one of the formats {', '.join(FORMATS)}") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise TooManyPixels(f"the picture has {width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
    if max(width, height) > MAX_SHAPE * min(width, height):
        raise TooNarrow(f"the picture is {width} x {height}; its long side may be {MAX_SHAPE} times its short side")
    return picture


def _short_side_to(length: int, size: tuple[int, int]) -> tuple[int, int]:
    """The size with its short side `length` and the same shape; the long side rounds down, as torchvision's Resize does."""
    width, height = size
    if width <= height:
        return length, int(length * height / width)
    return int(length * width / height), length
