"""What decoding gives, and the last step to what the model takes. Knows no codec, so the service itself can import it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.description import Preprocessing
from service.records import Pictures


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded picture: uint8[crop, crop, 3], RGB, resized and cut for the model; `pictures` is what is kept, if anything is."""

    pixels: NDArray[np.uint8]
    pictures: Pictures | None = None


def normalised(crop: NDArray[np.uint8], steps: Preprocessing) -> NDArray[np.float32]:
    """What the model takes: uint8[crop, crop, 3] to float32[3, crop, crop], scaled to [0, 1] and normalised per channel."""
    values = crop.astype(np.float32) / np.float32(255)
    normal = (values - np.array(steps.mean, np.float32)) / np.array(steps.deviation, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)
