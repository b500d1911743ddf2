"""A commit as the pipeline sees it: ids, a title, and files on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit and the tree that it holds; both are git ids in hex. `files` is where its files lie, unchanged.

    `author` is written as git does: `Name <address>`.
    """

    id: str
    tree: str
    subject: str
    files: Path
    author: str = ""
