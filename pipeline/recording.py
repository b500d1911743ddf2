"""How use cases write down what happened, and what a verdict means for the one who asked."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.collaborators import Tools
from pipeline.errors import GateClosed, PipelineError
from pipeline.ledger import protocol as ledger
from pipeline.ledger.protocol import Event
from pipeline.verdict import Answer, Verdict


def opened(verdict: Verdict, gate: str) -> Verdict:
    """The verdict, if it passed. Raises GateClosed when refused, PipelineError when the gate could not judge."""
    if verdict.answer is Answer.REFUSED:
        raise GateClosed(f"{gate} refuses: {'; '.join(verdict.reasons)}")
    if verdict.answer is Answer.INCONCLUSIVE:
        raise PipelineError(f"{gate} could not judge: {'; '.join(verdict.reasons)}")
    return verdict


def record(tools: Tools, gate: str, verdict: Verdict, subject: str, environment: str = "", **detail: object) -> None:
    event = ledger.evidence_event(gate, verdict, subject, at=tools.now(), by=tools.who, environment=environment, **detail)
    tools.ledger.append(event)


def append(tools: Tools, kind: str, subject: str, environment: str = "", detail: Mapping[str, object] | None = None) -> None:
    tools.ledger.append(Event(kind, subject, tools.now(), tools.who, environment, dict(detail or {})))
