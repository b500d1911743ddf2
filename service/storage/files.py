"""Pictures as files: those of unsaved runs in `waiting/`, those of saved ones in `kept/`, by the run's id and nothing else."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from service.errors import ConfigError
from service.records import Pictures

KINDS = ("picture", "thumbnail")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SETTLED_SECONDS = 3600.0  # a younger file without a row may belong to a run that is just being added


class Files:
    """The pictures under `folder`."""

    def __init__(self, folder: Path) -> None:
        """Make the folders. Raises ConfigError."""
        self._waiting, self._kept = folder / "waiting", folder / "kept"
        try:
            for path in (self._waiting, self._kept):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder {folder} cannot be used: {error}") from error

    def write(self, run_id: str, pictures: Pictures) -> None:
        """Keep the pictures of an unsaved run. They may be lost with the machine's power, as the run may be forgotten."""
        for kind, data in zip(KINDS, (pictures.picture, pictures.thumbnail), strict=True):
            self._path(self._waiting, run_id, kind).write_bytes(data)

    def settle(self, run_id: str) -> None:
        """Make the pictures durable and move them where saved ones are. Doing it twice is doing it once."""
        moved = False
        for kind in KINDS:
            source, target = self._path(self._waiting, run_id, kind), self._path(self._kept, run_id, kind)
            with suppress(FileNotFoundError):
                _sync(source)
                target.parent.mkdir(exist_ok=True)
                source.rename(target)
                moved = True
        if moved:
            _sync(self._path(self._kept, run_id, "picture").parent)
            _sync(self._kept)

    def read(self, run_id: str, kind: str) -> bytes | None:
        """The bytes, wherever they are."""
        for folder in (self._kept, self._waiting, self._kept):  # it may move while we look
            with suppress(FileNotFoundError):
                return self._path(folder, run_id, kind).read_bytes()
        return None

    def remove(self, run_id: str) -> None:
        """Remove what is there."""
        for kind in KINDS:
            for folder in (self._waiting, self._kept):
                self._path(folder, run_id, kind).unlink(missing_ok=True)

    def ids(self, *, waiting_only: bool = False) -> Iterator[str]:
        """The runs that have had files for a while."""
        oldest = time.time() - SETTLED_SECONDS
        for folder in [self._waiting] if waiting_only else [self._waiting, self._kept]:
            for path in folder.rglob("*.picture"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < oldest:
                        yield path.stem

    def _path(self, folder: Path, run_id: str, kind: str) -> Path:
        assert NAME.fullmatch(run_id), run_id  # ids are ours; a path never comes from outside
        name = f"{run_id}.{kind}"
        return folder / run_id[:2] / name if folder == self._kept else folder / name


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
