"""Running a playbook: the command as a pure function, its events as progress, its failures as one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import process
from pipeline.collaborators import Story
from pipeline.errors import GateClosed, PipelineError

UNREACHABLE = 4  # ansible-playbook's exit code when a host could not be reached


def playbook_argv(python: str, playbook: str, *, inventory: Path, variables: Mapping[str, object]) -> list[str]:
    """The command that runs `ansible/<playbook>.yml`."""
    return [
        python, "-m", "ansible", "playbook", f"{playbook}.yml", "--inventory", str(inventory),
        "--extra-vars", json.dumps(dict(variables), sort_keys=True),
    ]  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What a run reported: failures as `host: sentence`, the hosts' changes, and the logs that failed tasks handed back."""

    failures: list[str] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    noise: list[str] = field(default_factory=list)
    unreachable: bool = False


class Playbooks:
    """Runs the playbooks of `ansible` (a folder); every event is kept in `log`."""

    def __init__(self, ansible: Path, python: str, log: Path, story: Story) -> None:
        self._ansible = ansible
        self._python = python
        self._log = log
        self._story = story

    def run(self, playbook: str, *, inventory: Path, variables: Mapping[str, object] | None = None) -> Outcome:
        """Run to the end. Raises GateClosed when a task failed, PipelineError when hosts or Ansible itself could not be used."""
        outcome = Outcome()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        argv = playbook_argv(self._python, playbook, inventory=inventory, variables=variables or {})
        environment = {"ANSIBLE_CONFIG": str(self._ansible / "ansible.cfg"), "PYTHONWARNINGS": "ignore"}
        with self._log.open("a") as log:

            def hear(line: str) -> None:
                log.write(line + "\n")
                listen(line, outcome, self._story)

            code = process.follow(argv, hear, cwd=self._ansible, env=environment)
        if code == 0:
            return outcome
        reason = "; ".join(outcome.failures or outcome.noise[-1:]) or f"ansible-playbook ended with {code}"
        bundle = self._keep_logs(outcome)
        hint = f"what the hosts said is in {bundle}" if bundle else f"every event is in {self._log}"
        if outcome.unreachable or not outcome.failures:
            raise PipelineError(f"{playbook}: {reason}", hint=hint)
        raise GateClosed(f"{playbook}: {reason}", hint=hint)

    def _keep_logs(self, outcome: Outcome) -> Path | None:
        if not outcome.logs:
            return None
        bundle = self._log.with_suffix(".hosts.txt")
        bundle.write_text("".join(f"== {host}\n" + "\n".join(lines) + "\n" for host, lines in outcome.logs.items()))
        return bundle


def listen(line: str, outcome: Outcome, story: Story) -> None:
    """Take one line of the JSON-lines callback into the outcome; whatever else Ansible prints is kept for a last word."""
    try:
        event = json.loads(line)
    except ValueError:
        if line.strip():
            outcome.noise.append(line.strip())
        return
    kind = event.get("_event")
    if kind == "v2_playbook_on_task_start":
        story.progress(_task(event))
    elif kind in ("v2_runner_on_failed", "v2_runner_on_unreachable"):
        outcome.unreachable |= kind == "v2_runner_on_unreachable"
        for host, result in event["hosts"].items():
            if result.get("ignore_errors"):
                continue
            outcome.failures.append(f"{host}: {_task(event).lower()}: {_sentence(result)}")
            if result.get("log"):
                outcome.logs[host] = result["log"]
    elif kind == "v2_playbook_on_stats":
        outcome.changed = {host: stats["changed"] for host, stats in event["stats"].items()}


def _task(event: Mapping[str, object]) -> str:
    task = event["task"]
    assert isinstance(task, dict)
    return str(task["name"]).partition(" : ")[2] or str(task["name"])


def _sentence(result: Mapping[str, object]) -> str:
    return " ".join(str(result.get("msg") or "it failed").split())[:300]
