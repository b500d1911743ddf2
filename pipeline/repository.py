"""The git repository: which commit is meant, and its files on disk exactly as committed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pipeline import process
from pipeline.commit import Commit
from pipeline.errors import UsageError
from pipeline.scratch import scratch


class Repository:
    """The git repository at `root`; exported trees are kept below `state`."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root = root
        self._trees = state / "trees"

    def commit(self, name: str = "HEAD") -> Commit:
        """The commit that `name` means, with its files exported. Raises UsageError when there is none."""
        found = process.run(["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"], cwd=self._root)
        if found.code != 0:
            raise UsageError(f"there is no commit {name!r} in {self._root}", hint="`git log --oneline` lists what there is")
        said = process.must(
            ["git", "log", "-1", "--format=%H%x00%T%x00%an <%ae>%x00%s", found.output.strip(), "--"], cwd=self._root
        )
        id, tree, author, subject = said.rstrip("\n").split("\0", 3)
        return Commit(id, tree, subject, self._exported(tree), author)

    def came_before(self, older: str, newer: str) -> bool:
        """Whether `newer` was made on top of `older`; False where this repository does not know."""
        if older == newer:
            return False
        return process.run(["git", "merge-base", "--is-ancestor", older, newer], cwd=self._root).code == 0

    def changed_files(self) -> int:
        """How many files differ from HEAD or are unknown to git: none of them is part of a release."""
        if process.run(["git", "rev-parse", "--is-inside-work-tree"], cwd=self._root).output.strip() != "true":
            return 0
        return len(process.must(["git", "status", "--porcelain"], cwd=self._root).splitlines())

    def _exported(self, tree: str) -> Path:
        """The tree's files; made beside and renamed, so that a folder of that name is always whole."""
        target = self._trees / tree
        if target.exists():
            with suppress(OSError):  # that it was used keeps it from being tidied away; somebody else's need not be ours to touch
                os.utime(target)
            return target
        with scratch(self._trees / "partial") as folder:
            archive, files = folder / "tree.tar", folder / "files"
            process.must(["git", "archive", "--format=tar", f"--output={archive}", tree], cwd=self._root)
            files.mkdir()
            # The program, because the library of Debian 12's Python extracts without a filter only.
            process.must(["tar", "--extract", f"--file={archive}", f"--directory={files}", "--no-same-owner"])
            if not target.exists():
                files.rename(target)
        return target
