"""Reading requirement files and hashed locks: text in, values out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pipeline.errors import UsageError

LOCKS = ("bootstrap", "service", "pipeline", "dev")
HASH = re.compile(r"--hash=(\S+)")
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock: the requirement as written, and its hashes."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str | None:
        """The exact version; None when the line allows more than one, or names a place instead."""
        specifiers = list(self.requirement.specifier)
        exact = len(specifiers) == 1 and specifiers[0].operator == "==" and not specifiers[0].version.endswith("*")
        return specifiers[0].version if exact and self.requirement.url is None else None


@dataclass(frozen=True, slots=True)
class RequirementFile:
    """A `.in` or `.txt` file. `options` are its lines that begin with a dash, such as an index of somebody's machine."""

    pins: tuple[Pin, ...]
    options: tuple[str, ...]


def read_requirements(path: Path) -> RequirementFile:
    """The requirements of a file. Raises UsageError that names the line."""
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError(f"{path} cannot be read") from error
    pins, options = [], []
    for line in _logical_lines(text):
        if line.startswith("-"):
            options.append(line)
            continue
        try:
            requirement = Requirement(HASH.sub("", line).strip())
        except InvalidRequirement as error:
            raise UsageError(f"{path.name}: {line[:60]!r} is no requirement") from error
        pins.append(Pin(requirement, tuple(HASH.findall(line))))
    return RequirementFile(tuple(pins), tuple(options))


def _logical_lines(text: str) -> list[str]:
    """Lines with continuations joined and comments gone."""
    joined = text.replace("\\\n", " ")
    return [bare for line in joined.splitlines() if (bare := re.sub(r"(^|\s)#.*", "", line).strip())]
