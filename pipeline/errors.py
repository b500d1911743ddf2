"""What the pipeline can explain to the person running it, by what that person should do. Caught once, in `cli.main`."""

from __future__ import annotations


class PipelineError(Exception):
    """Could not find out: Docker, the network or a host did not answer as needed. Trying again may help."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PipelineError):
    """Asked for something that cannot be, or with settings that cannot be used. Trying again will not help."""

    exit_code = 2


class GateClosed(PipelineError):
    """A gate ran to its end and said no."""

    exit_code = 1


class Superseded(GateClosed):
    """A newer commit takes the place of the one that asks; nobody is to blame."""


class LedgerBroken(PipelineError):
    """The history is not what was written: nothing can be found out from it, and nothing may be decided on it."""
