"""The promotion gate: has this release shown everything that the environment requires?"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ledger.protocol import Event, latest_evidence
from pipeline.release import Release
from pipeline.verdict import Verdict

OF_THE_COMMIT = frozenset({"dependencies", "tests"})


def judge(release: Release, requires: Sequence[str], events: Sequence[Event]) -> Verdict:
    """Refused with one reason for each gate that did not pass, or was never asked."""
    reasons = []
    for requirement in requires:
        gate, _, environment = requirement.partition("@")
        subject = release.commit if gate in OF_THE_COMMIT else release.id
        verdict = latest_evidence(events, gate, subject, environment)
        if verdict is None:
            reasons.append(f"{requirement} was never asked about this release")
        elif not verdict.passed:
            reasons.append(f"{requirement} said {verdict.answer}: {'; '.join(verdict.reasons)}")
    return Verdict.of(reasons)
