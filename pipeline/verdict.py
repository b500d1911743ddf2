"""The answer of a gate. Whatever could not be judged has not passed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    PASSED = "passed"
    REFUSED = "refused"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons` says why, in whole facts with numbers; every answer but a pass has at least one."""

    answer: Answer
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.answer is not Answer.PASSED and not self.reasons:
            raise ValueError(f"a verdict of {self.answer} needs a reason")

    @property
    def passed(self) -> bool:
        return self.answer is Answer.PASSED

    @classmethod
    def of(cls, reasons: tuple[str, ...] | list[str]) -> Verdict:
        """Refused for these reasons, passed when there are none."""
        return cls(Answer.REFUSED, tuple(reasons)) if reasons else cls(Answer.PASSED)

    @classmethod
    def unknown(cls, *reasons: str) -> Verdict:
        """Could not be judged."""
        return cls(Answer.INCONCLUSIVE, reasons)
