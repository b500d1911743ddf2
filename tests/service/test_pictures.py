"""Every kind of picture that people send: each is seen the way a person would see it, and the picture alone is kept of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from starlette.testclient import TestClient

from service.errors import BadImage, EmptyImage, TooNarrow, TruncatedImage
from service.images.decode import prepare
from service.images.pixels import normalised
from service.images.pool import DecoderPool
from service.inference.description import Preprocessing
from service.records import Pictures
from tests.service.pictures import AS_IT_IS, SAMPLES, SIZE, STORED, chunk, deep_png, encoded, png, scene, turned

ESPRESSO = 967
STEPS = Preprocessing(256, "bicubic", 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CANARY = b"CANARY-51.5007N-0.1246W"


@pytest.fixture(scope="module")
def coffee(pictures: dict[str, bytes]) -> Image.Image:
    """Smaller than it is shipped, so that writing it in every format is quick."""
    return Image.open(io.BytesIO(pictures["coffee"])).convert("RGB").resize((450, 300))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1)
    yield pool
    pool.close()


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


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_kind_of_picture_looks_as_it_should(kind: str):
    sample = SAMPLES[kind]
    seen = prepare(sample.data, AS_IT_IS, keep=False).pixels
    assert (seen.shape, seen.dtype) == ((48, 48, 3), np.uint8)
    assert np.abs(seen.astype(int) - sample.middle.astype(int)).mean() <= sample.loss


def test_a_decoder_that_may_open_no_file_decodes_every_kind_as_well(pool: DecoderPool):
    for kind, sample in SAMPLES.items():
        here, there = prepare(sample.data, STEPS, keep=True), pool.prepare(sample.data, STEPS, keep=True)
        np.testing.assert_array_equal(there.pixels, here.pixels, err_msg=kind)
        assert there.pictures == here.pictures, kind
    assert pool.deaths == 0


@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_turned_by_exif_is_seen_upright(coffee: Image.Image, orientation: int):
    upright = prepare(encoded(coffee, "PNG", compress_level=1), STEPS, keep=False)
    stored = prepare(turned(coffee, orientation, "PNG", compress_level=1), STEPS, keep=False)
    np.testing.assert_array_equal(stored.pixels, upright.pixels)


def test_a_picture_of_one_pixel_has_pixels_to_recognise():
    white = prepare(encoded(Image.new("RGB", (1, 1), "white"), "PNG"), STEPS, keep=False)
    np.testing.assert_array_equal(normalised(white.pixels, STEPS), np.ones((3, 224, 224), np.float32))


def test_channels_are_red_green_blue():
    orange = prepare(encoded(Image.new("RGB", (300, 300), (255, 127, 0)), "PNG"), STEPS, keep=False)
    np.testing.assert_allclose(normalised(orange.pixels, STEPS)[:, 0, 0], [1, 127 / 127.5 - 1, -1], atol=1e-6)


@pytest.mark.parametrize("damaged", [b"MM\0*", b"rubbish", b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 40])
def test_damaged_exif_is_no_reason_to_refuse_a_picture(damaged: bytes):
    seen = prepare(SAMPLES["png"].data[:33] + chunk(b"eXIf", damaged) + SAMPLES["png"].data[33:], AS_IT_IS, keep=False)
    np.testing.assert_array_equal(seen.pixels, SAMPLES["png"].middle)


WHOLE = [
    kind
    for kind in SAMPLES
    if kind in ("jpeg", "progressive jpeg", "png", "gif", "bmp", "webp", "lossless webp", "tiff raw", "tiff tiff_lzw")
]


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_picture_of_which_the_end_is_missing_is_refused(kind: str, kept: float):
    data = SAMPLES[kind].data
    with pytest.raises(TruncatedImage):
        prepare(data[: int(len(data) * kept)], AS_IT_IS, keep=False)


@pytest.mark.parametrize(
    ("data", "refusal"), [(b"", EmptyImage), (b"GIF89a", BadImage), (png((101, 1), 8, 0, [bytes(101)]), TooNarrow)]
)
def test_what_is_no_picture_to_recognise_is_refused(data: bytes, refusal: type[BadImage]):
    with pytest.raises(refusal) as caught:
        prepare(data, AS_IT_IS, keep=False)
    assert type(caught.value) is refusal


def kept(data: bytes) -> Pictures:
    pictures = prepare(data, STEPS, keep=True).pictures
    assert pictures is not None
    return pictures


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_nothing_is_kept_unless_it_is_asked_for():
    assert prepare(SAMPLES["png"].data, STEPS, keep=False).pictures is None


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_kept_looks_like_the_picture(kind: str):
    sample, pictures = SAMPLES[kind], kept(SAMPLES[kind].data)
    for stored in (pictures.picture, pictures.thumbnail):
        seen = np.asarray(opened(stored), dtype=int)
        assert seen.shape == (48, 64, 3)
        assert np.abs(seen - sample.seen.astype(int)).mean() <= 2 * max(sample.loss, 6)
    assert (pictures.width, pictures.height) == SIZE
    assert Image.MIME[opened(pictures.picture).format or ""] == pictures.media_type


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_small_picture_stays_lossless_where_its_format_was(kind: str):
    sample, pictures = SAMPLES[kind], kept(SAMPLES[kind].data)
    assert pictures.media_type == (
        "image/jpeg" if any(lossy in kind for lossy in ("jpeg", "webp", "mpo")) and "tiff" not in kind else "image/png"
    )
    if pictures.media_type == "image/png" and sample.loss == 0:
        np.testing.assert_array_equal(np.asarray(opened(pictures.picture)), sample.seen)


@pytest.mark.parametrize(("size", "expected"), [((1000, 1000), "image/png"), ((1001, 1000), "image/jpeg")])
def test_a_lossless_picture_of_more_than_a_megapixel_becomes_a_jpeg(size: tuple[int, int], expected: str):
    assert kept(encoded(Image.new("RGB", size, "teal"), "PNG")).media_type == expected


@pytest.mark.parametrize(
    ("size", "expected", "small"),
    [
        ((2048, 100), (2048, 100), (293, 14)),
        ((2100, 1000), (2048, 975), (293, 139)),
        ((4000, 3000), (2000, 1500), (286, 214)),
        ((200, 4500), (91, 2048), (13, 293)),
        ((320, 320), (320, 320), (320, 320)),
        ((1, 100), (1, 100), (1, 100)),
    ],
)  # fmt: skip
def test_a_large_picture_is_kept_smaller(size: tuple[int, int], expected: tuple[int, int], small: tuple[int, int]):
    pictures = kept(encoded(Image.new("L", size, 200), "JPEG"))
    assert ((pictures.width, pictures.height), opened(pictures.picture).size) == (expected, expected)
    width, height = opened(pictures.thumbnail).size
    assert (abs(width - small[0]) <= 1, abs(height - small[1]) <= 1) == (True, True), (width, height)
    assert opened(pictures.thumbnail).format == "JPEG"


def test_what_is_kept_is_upright():
    pictures = kept(SAMPLES["jpeg turned 6"].data)
    assert (pictures.width, pictures.height) == SIZE
    assert not opened(pictures.picture).getexif()


def canary_exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = tags[0x9C9C] = CANARY.decode()  # the description, Windows' comment
    tags[0x8769] = {0x9286: CANARY, 0xA433: CANARY.decode()}  # the user's comment, the lens
    tags[0x8825] = {1: "N", 2: (51.0, 30.0, 2.5), 27: CANARY}  # where it was taken
    return tags


def canary_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return bytes(profile) + CANARY


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def text_chunks() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", CANARY.decode())
    texts.add_text("Comment", CANARY.decode(), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", CANARY.decode())
    texts.add_itxt("Title", CANARY.decode(), zip=True)
    texts.add(b"prIv", CANARY)
    texts.add(b"prIv", CANARY, after_idat=True)
    return texts


def with_everything() -> dict[str, bytes]:
    """A picture of each format with the canary at every place that is not a pixel."""
    picture, every = scene(), {"exif": canary_exif(), "icc_profile": canary_profile()}
    jpeg = encoded(picture, "JPEG", comment=CANARY, xmp=CANARY, dpi=(300, 300), **every)
    tags = {270: CANARY.decode(), 305: CANARY.decode(), 315: CANARY.decode(), 700: CANARY, 33723: CANARY, 65000: CANARY}
    return {
        "jpeg": jpeg[:2] + b"".join(segment(0xE0 + n, CANARY) for n in range(3, 16)) + jpeg[2:] + CANARY,
        "png": encoded(picture, "PNG", pnginfo=text_chunks(), dpi=(300, 300), **every) + CANARY,
        "palette png": encoded(picture.quantize(8), "PNG", pnginfo=text_chunks(), **every),
        "webp": encoded(picture, "WEBP", xmp=CANARY, **every),
        "gif": encoded(picture.quantize(64), "GIF", comment=CANARY) + CANARY,
        "tiff": encoded(picture, "TIFF", tiffinfo=tags, icc_profile=canary_profile()) + CANARY,
        "bmp": encoded(picture, "BMP") + CANARY,
        "mpo": encoded(picture, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], comment=CANARY, **every),
    }  # fmt: skip


def jpeg_markers(data: bytes) -> list[int]:
    """The markers up to the pixels; nothing follows the one that ends the picture."""
    markers, at = [], 2
    while (marker := data[at + 1]) != 0xDA:
        markers.append(marker)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    assert data.index(b"\xff\xd9", at) == len(data) - 2
    return markers


def png_chunks(data: bytes) -> list[bytes]:
    kinds, at = [], 8
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4])
    return kinds


@pytest.mark.parametrize("kind", with_everything())
def test_what_is_kept_has_no_metadata(kind: str):
    data = with_everything()[kind]
    assert CANARY in data
    pictures = kept(data)
    for stored in (pictures.picture, pictures.thumbnail):
        assert CANARY not in stored
        assert not opened(stored).getexif()
        if stored.startswith(b"\xff\xd8"):
            assert set(jpeg_markers(stored)) == {0xE0, 0xDB, 0xC0, 0xC4}  # JFIF's head, tables, size
            assert stored[4:20] == b"\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"  # no thumbnail in it, no resolution
        else:
            assert set(png_chunks(stored)) == {b"IHDR", b"IDAT", b"IEND"}


def test_the_same_pixels_are_kept_as_the_same_bytes_whatever_came_with_them():
    plain = encoded(scene(), "PNG")
    assert kept(plain) == kept(
        plain[:33] + chunk(b"tEXt", b"Place\0" + CANARY) + chunk(b"gAMA", struct.pack(">I", 45455)) + plain[33:]
    )
    assert zlib.crc32(kept(plain).picture) != zlib.crc32(plain)
