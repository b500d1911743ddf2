"""The console of a build, from the bytes that come piece by piece to lines of text."""

from __future__ import annotations

import codecs
import re

# What Jenkins' page turns into links (hudson.console.ConsoleNote): ESC[8mha:<base64>ESC[0m. Some cores send it in plain text too.
NOTE = re.compile(r"\x1b\[8mha:[^\n]*?\x1b\[0m")
BROKEN_NOTE = re.compile(r"\x1b\[8mha:[^\n]*$")


class LogReader:
    """Where the pieces are cut makes no difference: a line is handed out once it is whole, without the notes in it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = ""

    def feed(self, data: bytes) -> tuple[str, ...]:
        """The lines that end in this piece, without their ends."""
        *whole, self._begun = (self._begun + self._decoder.decode(data)).split("\n")
        return tuple(_plain(line) for line in whole)

    def finish(self) -> tuple[str, ...]:
        """What is left when nothing more comes: the last line, if it has no end."""
        left = self._begun + self._decoder.decode(b"", final=True)
        self._begun = ""
        return (_plain(left),) if left else ()


def _plain(line: str) -> str:
    return BROKEN_NOTE.sub("", NOTE.sub("", line)).removesuffix("\r")
