"""What a model is, written down: `model.toml` names the weights, the labels and the preprocessing, each exactly.

The sha256 of that file is the model's address: it pins everything else by its own sha256.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from service.errors import ConfigError

MODELS = Path(__file__).parent.parent / "models"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize the short side to `resize` pixels, cut `crop` x `crop` from the centre, scale to [0, 1], normalise per RGB channel."""

    resize: int
    filter: str
    crop: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model, found on disk and checked against its own hashes."""

    name: str
    architecture: str
    weights: Path
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    sha256: str


def read_description(name: str, models: Path = MODELS) -> ModelDescription:
    """The model called `name`. Raises ConfigError when a part is missing or is not the one that was described."""
    folder = models / name
    try:
        raw = (folder / "model.toml").read_bytes()
    except OSError as error:
        raise ConfigError(f"there is no model {name!r} in {models}") from error
    try:
        return _described(name, folder, tomllib.loads(raw.decode()), hashlib.sha256(raw).hexdigest())
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / 'model.toml'} cannot be read: {error!r}") from error


def _described(name: str, folder: Path, document: dict[str, Any], sha256: str) -> ModelDescription:
    labels_file = folder / document["labels"]["file"]
    weights_file = _in_package(document["weights"]["package"], document["weights"]["file"])
    _require_sha256(labels_file, document["labels"]["sha256"])
    _require_sha256(weights_file, document["weights"]["sha256"])
    steps = document["preprocessing"]
    return ModelDescription(
        name=name,
        architecture=document["architecture"],
        weights=weights_file,
        labels=tuple(labels_file.read_text().splitlines()),
        preprocessing=Preprocessing(
            steps["resize"], steps["filter"], steps["crop"], tuple(steps["mean"]), tuple(steps["deviation"])
        ),
        sha256=sha256,
    )


def _in_package(package: str, file: str) -> Path:
    """Where the installed, hash-locked package keeps `file`, without running the package's code."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the package {package} that carries the weights is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / file


def _require_sha256(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read {path}") from error
    if found != expected:
        raise ConfigError(f"{path} has sha256 {found}, its description says {expected}")
