from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import commands
from pipeline.commit import Commit
from pipeline.errors import PipelineError
from pipeline.evidence import gather, who_must_act
from pipeline.gates.locks import read_requirements
from pipeline.sbom import sbom
from pipeline.verdict import Verdict
from tests.fakes import Shop, load_stats
from tests.pipeline.conftest import made, shipped, staged


@dataclass
class RealFiles:
    """The shop's commits, with the files of this repository."""

    root: Path

    def commit(self, name: str = "HEAD") -> Commit:
        return Commit(name.ljust(40, "0"), name.ljust(40, "0"), f"Change {name}", self.root, "Ada <ada@example.org>")

    def came_before(self, older: str, newer: str) -> bool:
        return False

    def changed_files(self) -> int:
        return 0


@pytest.fixture
def shop(shop: Shop, root: Path) -> Shop:
    object.__setattr__(shop.tools, "commits", RealFiles(root))
    return shop


def acts(shop: Shop, commit: str) -> tuple[str, ...]:
    return who_must_act(shop.tools.events(), shop.tools.commits.commit(commit))


def test_whoever_wrote_a_commit_that_a_gate_refuses_must_act(shop: Shop):
    shop.tests.verdict = Verdict.of(["1 of 3 tests failed"])
    with pytest.raises(PipelineError):
        commands.test(shop.tools, "aaa")
    assert acts(shop, "aaa") == ("Ada <ada@example.org> must mend commit aaa000000000: tests refused; 1 of 3 tests failed",)


def test_an_operator_must_act_where_a_gate_could_not_judge(shop: Shop):
    shop.lint.verdict = Verdict.unknown("mypy ended with 2")
    with pytest.raises(PipelineError):
        commands.lint(shop.tools, "aaa")
    assert acts(shop, "aaa") == ("an operator must look at lint, which could not judge; mypy ended with 2",)


def test_an_operator_must_act_where_a_deploy_was_cut_short(shop: Shop):
    release = made(shop, "aaa")
    shop.hosts.unreachable = True
    with pytest.raises(PipelineError):
        commands.deploy(shop.tools, "staging", release.id)
    assert "an operator must look at staging: a deploy was cut short" in acts(shop, "aaa")


def test_a_promoter_must_act_once_everything_has_passed(shop: Shop):
    commands.lint(shop.tools, "aaa")
    staged(shop, "aaa")
    assert acts(shop, "aaa") == ("a promoter may send it to production: every gate before it has passed",)


def test_nobody_must_act_once_it_is_in_production(shop: Shop):
    commands.lint(shop.tools, "aaa")
    shipped(shop, "aaa")
    assert acts(shop, "aaa") == ()


def test_what_was_mended_needs_nobody_any_more(shop: Shop):
    for verdict in (Verdict.of(["1 complaint"]), Verdict.of([])):
        shop.lint.verdict = verdict
        try:
            commands.lint(shop.tools, "aaa")
        except PipelineError:
            continue
    assert acts(shop, "aaa") == ()


def test_the_evidence_of_a_commit_is_its_own_and_whole(shop: Shop, tmp_path: Path):
    release = shipped(shop, "aaa")
    shop.load.stats = load_stats(300, failed=300)
    staged(shop, "bbb")
    files, said = gather(shop.tools, "aaa", tmp_path / "evidence")
    entries = [json.loads(line) for line in (tmp_path / "evidence" / "ledger.jsonl").read_text().splitlines()]
    kinds = {(entry["kind"], entry["environment"], entry["detail"].get("gate", "")) for entry in entries}
    assert {
        ("evidence", "", "tests"),
        ("released", "", ""),
        ("deployed", "production", ""),
        ("evidence", "staging", "load"),
    } <= kinds
    assert {entry["subject"] for entry in entries if entry["kind"] == "released"} == {release.id}
    assert not any("bbb".ljust(40, "0") in json.dumps(entry) for entry in entries)
    assert all(file.stat().st_size for file in files)
    assert said == ()


def test_the_page_says_who_must_act_and_has_no_steps_where_none_were_walked_here(shop: Shop, tmp_path: Path):
    shop.lint.verdict = Verdict.of(["<b>1 complaint</b>"])
    with pytest.raises(PipelineError):
        commands.lint(shop.tools, "aaa")
    gather(shop.tools, "aaa", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Who must act" in page
    assert "&lt;b&gt;1 complaint" in page
    assert "<h2>Steps</h2>" not in page


def test_the_sbom_has_every_package_of_the_image_and_is_the_same_each_time(root: Path):
    text = sbom(root / "requirements", "c" * 40)
    assert text == sbom(root / "requirements", "c" * 40)
    document = json.loads(text)
    pins = {pin.name: pin for pin in read_requirements(root / "requirements" / "service.txt").pins}
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert {(c["name"], c["version"]) for c in document["components"]} == {(pin.name, pin.version) for pin in pins.values()}
    for component in document["components"]:
        assert component["purl"].startswith(f"pkg:pypi/{component['name']}@")
        assert {h["content"] for h in component["hashes"]} == {
            value.removeprefix("sha256:") for value in pins[component["name"]].hashes
        }
