"""Every kind of picture that people send, and that each is seen the way a person would see it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from service import images
from service.inference.description import Preprocessing

ESPRESSO = 967
STEPS = Preprocessing(256, "bicubic", 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
ONE_STEP = 2 / 255  # of an 8-bit channel, after normalising
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


@pytest.fixture(scope="module")
def coffee(pictures: dict[str, bytes]) -> Image.Image:
    """Smaller than it is shipped, so that writing it in every format is quick."""
    return Image.open(io.BytesIO(pictures["coffee"])).convert("RGB").resize((450, 300))


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def deep_png(values: NDArray[np.uint8]) -> bytes:
    """A PNG of 16 bits per channel, which Pillow writes for no colour picture."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values.astype(np.uint16) * 257)
    parts = (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")
    chunks = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def turned(picture: Image.Image, orientation: int, form: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture.transpose(STORED[orientation]), form, exif=exif, **options)


WRITERS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda picture: encoded(picture, "PNG"),
    "webp": lambda picture: encoded(picture, "WEBP"),
    "gif": lambda picture: encoded(picture, "GIF"),
    "animated gif": lambda picture: encoded(picture, "GIF", save_all=True, append_images=[Image.new("RGB", picture.size)]),
    "bmp": lambda picture: encoded(picture, "BMP"),
    "tiff": lambda picture: encoded(picture, "TIFF", compression="tiff_lzw"),
    "cmyk jpeg": lambda picture: encoded(picture.convert("CMYK"), "JPEG"),
    "palette png with transparency": lambda picture: encoded(picture.quantize(256), "PNG", transparency=0),
    "png with alpha": lambda picture: encoded(picture.convert("RGBA"), "PNG"),
    "16-bit png": lambda picture: deep_png(np.asarray(picture)),
    "jpeg rotated by exif": lambda picture: turned(picture, 6, "JPEG", quality=95),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_coffee_is_an_espresso_in_every_format(client: TestClient, coffee: Image.Image, kind: str):
    response = client.post("/v1/predictions", content=WRITERS[kind](coffee))
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["index"] == ESPRESSO


@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_turned_by_exif_is_seen_upright(coffee: Image.Image, orientation: int):
    upright = images.to_pixels(encoded(coffee, "PNG", compress_level=1), STEPS)
    stored = images.to_pixels(turned(coffee, orientation, "PNG", compress_level=1), STEPS)
    np.testing.assert_array_equal(stored, upright)


def test_a_deep_grey_picture_is_as_bright_as_a_shallow_one(coffee: Image.Image):
    grey = np.asarray(coffee.convert("L"))
    deep = images.to_pixels(encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"), STEPS)
    shallow = images.to_pixels(encoded(Image.fromarray(grey), "PNG"), STEPS)
    np.testing.assert_allclose(deep, shallow, atol=ONE_STEP)


def test_a_picture_of_one_pixel_has_pixels_to_recognise():
    white = images.to_pixels(encoded(Image.new("RGB", (1, 1), "white"), "PNG"), STEPS)
    np.testing.assert_array_equal(white, np.ones((3, 224, 224), np.float32))


def test_channels_are_red_green_blue():
    orange = images.to_pixels(encoded(Image.new("RGB", (300, 300), (255, 127, 0)), "PNG"), STEPS)
    np.testing.assert_allclose(orange[:, 0, 0], [1, 127 / 127.5 - 1, -1], atol=1e-6)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("GIF", "image/gif"), ("MPO", "image/jpeg")],
)
def test_the_media_type_is_one_that_browsers_show(form: str, expected: str):
    # MPO is what phones write for a JPEG with a second picture behind the first.
    more = {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]} if form == "MPO" else {}
    assert images.media_type(encoded(Image.new("RGB", (8, 8)), form, **more)) == expected
