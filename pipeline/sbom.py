"""What an image contains, by its locks, as a CycloneDX document. A home of its SDK."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from pipeline.gates.locks import RequirementFile, read_requirements

LOCKS = ("service",)  # what the image installs; bootstrap.txt only installs it


def sbom(requirements: Path, commit: str) -> str:
    """The document for the locks in the folder `requirements`. Raises UsageError when one cannot be read."""
    return document([read_requirements(requirements / f"{name}.txt") for name in LOCKS], commit)


def document(locks: Sequence[RequirementFile], commit: str) -> str:
    """CycloneDX 1.6 as JSON: each locked package with its version, package URL and the hashes that it may have."""
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"slipway:{commit}"))
    service = Component(name="slipway-service", version=commit, bom_ref="service", type=ComponentType.APPLICATION)
    bom.metadata.component = service
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the same commit has the same document
    for lock in locks:
        for pin in lock.pins:
            url = PackageURL("pypi", None, pin.name, pin.version)
            hashes = [HashType(alg=HashAlgorithm.SHA_256, content=value.removeprefix("sha256:")) for value in pin.hashes]
            version = pin.version or ""
            bom.components.add(Component(name=pin.name, version=version, purl=url, bom_ref=str(url), hashes=hashes))
    bom.register_dependency(service, bom.components)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2) + "\n"
