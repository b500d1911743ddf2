"""Results as people like to see them: tables, bars, one line. Computes nothing but the look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.doctor import Finding
from pipeline.jenkins.replies import Job
from pipeline.ledger.protocol import Entry
from pipeline.release import SHORT, Release
from pipeline.runs.record import Run
from pipeline.switch import Deployed
from pipeline.verdict import Verdict

BAR_WIDTH = 30
NOTE_WIDTH = 60
COLOURS = {
    "passed": "green", "refused": "red", "failed": "red", "aborted": "red", "inconclusive": "yellow", "paused": "yellow",
    "superseded": "yellow", "act": "yellow",
}  # fmt: skip


def line(word: str, text: str) -> Text:
    """A result of one line."""
    return Text.assemble((f"{word:>10}", f"bold {COLOURS.get(word, 'green')}"), "  ", text)


def lines(words: Sequence[tuple[str, str]]) -> Group:
    """Several results of one line."""
    return Group(*(line(word, text) for word, text in words))


def verdict(gate: str, said: Verdict) -> Text:
    return line(said.answer.value, "; ".join([gate, *said.reasons]))


def release(made: Release) -> Group:
    return Group(line("release", made.short), line("image", made.image))


def deployed(done: Deployed) -> Group:
    lines = [line("live", f"release {done.release.short} on {done.environment}, switched in {done.seconds:.1f} s")]
    if done.load:
        lines.append(line("load", _load_sentence(done.load)))
    return Group(*lines)


def deployed_json(done: Deployed) -> dict[str, object]:
    values = {"environment": done.environment, "seconds": done.seconds, "load": done.load}
    return {**values, "release": done.release.id, **asdict(done.release)}


def load(said: Verdict, summary: Mapping[str, object]) -> Text:
    return line(said.answer.value, "; ".join([_load_sentence(summary), *said.reasons]))


def findings(found: Sequence[Finding]) -> Table:
    table = _table("", "what", "remedy")
    for finding in found:
        mark = Text("yes", "green") if finding.present else Text("no", "red")
        table.add_row(mark, finding.name, "" if finding.present else finding.remedy)
    return table


def machines(hosts: Mapping[str, Mapping[str, str]]) -> Table:
    table = _table("environment", "host", "machine")
    for environment, states in hosts.items():
        for host, state in states.items():
            table.add_row(environment, host, state)
    return table


def status(rows: Sequence[Mapping[str, object]]) -> Table:
    table = _table("environment", "host", "release", "commit", "image", "answers", "address")
    for row in rows:
        agrees = row["answers"] is not None and row["answers"] == row["live"]
        answers = Text("yes", "green") if agrees else Text(_answer_word(row), "red" if row["live"] else "dim")
        image = str(row["image"]).rpartition("@")[2][:19] if row["image"] else "-"
        table.add_row(
            str(row["environment"]), str(row["host"]), _short(row["live"]), _short(row["commit"]), image, answers, str(row["url"])
        )
    return table


def jobs(found: Sequence[Job]) -> Table:
    table = _table("job", "newest build", "result", "address")
    for job in found:
        result = "under way" if job.building else job.result.lower() or "-"
        table.add_row(job.name, str(job.number or "-"), result, job.url)
    return table


def runs(found: Sequence[Run]) -> Table:
    table = _table("run", "commit", "of", "for", "state", "by", "why")
    for run in found:
        asked = run.situation
        aim = f"{asked.action} to {asked.environment}"
        colour = COLOURS.get(run.state.value, "green" if run.state.value == "passed" else "")
        note = run.note if len(run.note) <= NOTE_WIDTH else f"{run.note[: NOTE_WIDTH - 1]}…"
        table.add_row(str(run.number), _short(asked.commit), asked.branch, aim, Text(run.state.value, colour), run.by, note)
    return table


def history(entries: Sequence[Entry]) -> Table:
    table = _table("#", "when (UTC)", "what", "environment", "subject", "by")
    for entry in entries:
        event = entry.event
        what = event.kind
        if event.kind == "evidence":
            what = f"{event.detail['gate']}: {event.detail['answer']}"
        when = event.at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(entry.number), when, what, event.environment, event.subject[:SHORT], event.by)
    return table


def answer(document: Mapping[str, object]) -> Group:
    """The five predictions with bars, and who answered."""
    table = Table.grid(padding=(0, 2))
    predictions = document["predictions"]
    assert isinstance(predictions, list)
    for score in predictions:
        share = float(score["probability"])
        bar = Text("█" * max(round(share * BAR_WIDTH), 1), "cyan") + Text(
            "░" * (BAR_WIDTH - max(round(share * BAR_WIDTH), 1)), "dim"
        )
        table.add_row(Text(f"{score['label']:>24}", "bold"), bar, f"{share:6.1%}")
    model = document["model"]
    assert isinstance(model, dict)
    by = f"release {_short(document['release'])}, model {model['name']}, in {document['milliseconds']} ms"
    return Group(table, line("answered", by))


def _load_sentence(summary: Mapping[str, object]) -> str:
    counts = "{sent} requests sent, {answered} answered, {failed} failed, {lost} lost".format(**summary)
    return f"{counts}; {summary['per_second']}/s, p95 {summary['p95_ms']} ms"


def _answer_word(row: Mapping[str, object]) -> str:
    if row["machine"] != "running":
        return str(row["machine"])
    return "no" if row["answers"] is None else f"with {_short(row['answers'])}"


def _short(value: object) -> str:
    return str(value)[:SHORT] if value else "-"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column)
    return table
