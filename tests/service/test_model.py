"""The model against what it is defined on: torchvision's transforms and ImageNet's list of labels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.images.decode import prepare
from service.images.pixels import normalised
from service.inference.description import ModelDescription, read_description

SIZES = [(300, 200), (200, 300), (257, 641), (641, 257), (224, 224), (100, 100), (256, 257), (97, 1000)]


@pytest.fixture(scope="module")
def description() -> ModelDescription:
    return read_description("efficientnet_lite0")


def seen(data: bytes, description: ModelDescription) -> NDArray[np.float32]:
    """What the model is given of a picture."""
    steps = description.preprocessing
    return normalised(prepare(data, steps, keep=False).pixels, steps)


def reference(data: bytes) -> NDArray[np.float32]:
    from torchvision import transforms as tv

    steps = [
        tv.Resize(256, tv.InterpolationMode.BICUBIC),
        tv.CenterCrop(224),
        tv.ToTensor(),
        tv.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ]
    pixels: NDArray[np.float32] = tv.Compose(steps)(Image.open(io.BytesIO(data)).convert("RGB")).numpy()
    return pixels


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cat", "coffee", "rocket"])
def test_pixels_of_a_photograph_are_those_of_torchvision(pictures: dict[str, bytes], description: ModelDescription, name: str):
    pixels = seen(pictures[name], description)
    assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == ((3, 224, 224), np.float32, True)
    np.testing.assert_allclose(pixels, reference(pictures[name]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_of_any_shape_are_those_of_torchvision(
    pictures: dict[str, bytes], description: ModelDescription, size: tuple[int, int]
):
    file = io.BytesIO()
    Image.open(io.BytesIO(pictures["rocket"])).convert("RGB").resize(size).save(file, "PNG")
    np.testing.assert_allclose(seen(file.getvalue(), description), reference(file.getvalue()), rtol=0, atol=1e-6)


def test_labels_are_those_of_imagenet_in_their_order(description: ModelDescription):
    from torchvision.models import VGG16_Weights

    assert list(description.labels) == VGG16_Weights.IMAGENET1K_V1.meta["categories"]
