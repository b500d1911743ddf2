"""Files that a build keeps, brought here: whole or not at all, never outside the folder, and not twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pipeline.errors import PipelineError
from pipeline.jenkins.connection import Connection
from pipeline.jenkins.replies import Artefact
from pipeline.jenkins.requester import delays

ATTEMPTS = 4  # of one file that breaks off


def fetch(connection: Connection, archive: str, artefacts: Sequence[Artefact], folder: Path) -> tuple[Path, ...]:
    """Bring what lies below the path `archive` into `folder`; a file that is there with its full size is kept as it is.

    Raises PipelineError before anything is written when a path leads out of the folder.
    """
    targets = [target(folder, artefact.path) for artefact in artefacts]
    for artefact, path in zip(artefacts, targets, strict=True):
        if not (path.is_file() and path.stat().st_size == artefact.size):
            _bring(connection, f"{archive}/{quote(artefact.path)}", artefact, path)
    return tuple(targets)


def target(folder: Path, path: str) -> Path:
    """Where a path of the archive goes. Raises PipelineError when that is not below `folder`, links followed."""
    relative = PurePosixPath(path)
    sound = path and "\0" not in path and "\\" not in path and not relative.is_absolute() and ".." not in relative.parts
    if not sound or not (folder / relative).resolve().is_relative_to(folder.resolve()) or (folder / relative) == folder:
        raise PipelineError(f"jenkins keeps a file {path!r}, which leads out of {folder}", hint="nothing was brought")
    return folder / relative


def _bring(connection: Connection, source: str, artefact: Artefact, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    clock = connection.clock
    waits = delays(clock.chance)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with beside.open("wb") as file:
                connection.download(source, file.write)
            if (size := beside.stat().st_size) != artefact.size:
                raise PipelineError(
                    f"{artefact.path} came with {size} bytes of {artefact.size}", hint="is the build still writing it?"
                )
            beside.replace(path)
            return
        except PipelineError:
            if attempt == ATTEMPTS:
                raise
            clock.sleep(next(waits))
        finally:
            beside.unlink(missing_ok=True)
