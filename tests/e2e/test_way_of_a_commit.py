"""A commit on its way to real hosts: containers with SSH, provisioned and deployed to by the playbooks that EC2 hosts get."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import urllib3

from service.attempts import PER_NAME_AND_ADDRESS
from tests.shipyard import PRODUCTION, STAGING, Shipyard, git

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class First:
    """The release that every test here starts from, live on both environments."""

    release: str
    proxies: dict[str, str]
    output: str


@pytest.fixture(scope="module")
def first(shipyard: Shipyard) -> First:
    """The first commit, shipped as a newcomer does it."""
    output = shipyard.must("demo").out
    release = shipyard.serving(PRODUCTION[0])
    return First(release, shipyard.proxies(PRODUCTION), output)


def test_the_demo_ships_a_commit_and_asks_it_what_it_sees(shipyard: Shipyard, first: First):
    assert re.search(r"espresso\s+█", first.output)
    assert {shipyard.serving(host) for host in (*STAGING, *PRODUCTION)} == {first.release}
    report = Path(re.search(r"report\s+(\S+\.html)", first.output)[1])  # type: ignore[index]
    assert "Load while switching production" in report.read_text()


def test_users_lost_no_request_while_production_was_switched(shipyard: Shipyard, first: First):
    met = shipyard.events("evidence", "production")[-1]["detail"]["load"]
    assert (met["failed"], met["lost"]) == (0, 0)
    assert met["answered"] == met["sent"] > 100


def test_what_runs_is_what_was_released(shipyard: Shipyard, first: First):
    record = shipyard.events("released")[-1]["detail"]
    for row in shipyard.must("status", "--json").json:
        assert (row["answers"], row["image"]) == (first.release, record["image"])
    assert record["commit"] == git(shipyard.checkout, "rev-parse", "HEAD").strip()


def test_the_image_has_no_root_no_compiler_and_no_installer(shipyard: Shipyard, first: First):
    image = docker.from_env().images.get(shipyard.events("released")[-1]["detail"]["image"])
    assert image.attrs["Config"]["User"] == "slipway"
    labels = image.attrs["Config"]["Labels"]
    assert {"org.opencontainers.image.revision", "slipway.lock", "slipway.model"} <= labels.keys()
    tools = "for tool in gcc cc pip uv make; do command -v $tool; done"
    look = f"{tools}; ls -A /root/.cache /tmp /var/lib/apt/lists 2>/dev/null | grep -v :$; true"
    found = docker.from_env().containers.run(image.id, ["sh", "-c", look], user="root", remove=True)
    assert found.strip() == b""


def test_the_proxy_passes_on_nobodys_word_about_where_a_request_comes_from(shipyard: Shipyard, first: First):
    # As many wrong passwords for one name as one address may send, each claiming another address.
    answers = [
        urllib3.request(
            "POST",
            f"http://{STAGING[0]}/v1/sessions",
            json={"name": "nobody", "password": f"wrong {number}"},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
        ).status
        for number in range(PER_NAME_AND_ADDRESS + 1)
    ]
    assert answers == [401] * PER_NAME_AND_ADDRESS + [429]


def test_an_operator_makes_the_first_admin_on_the_host(shipyard: Shipyard, first: First):
    (container,) = [c for c in shipyard.containers() if c.name.startswith(f"{shipyard.project}-staging-1-")]
    said = container.exec_run(["python", "-m", "service", "set-up"])
    token = re.search(rb"/set-up\?token=(\S+)", said.output)[1].decode()  # type: ignore[index]
    account = {"token": token, "name": "root", "password": "a cup of coffee"}
    made = urllib3.request("POST", f"http://{STAGING[0]}/v1/set-up", json=account)
    assert (made.status, made.json()["role"]) == (201, "admin")
    assert container.exec_run(["python", "-m", "service", "set-up"]).exit_code == 1
    assert container.exec_run(["python", "-m", "service", "storage", "check"]).output == b"everything fits together\n"


def test_an_unchanged_tree_is_answered_with_its_digest_at_once(shipyard: Shipyard, first: First):
    started = time.monotonic()
    answer = shipyard.must("build", "--json").json
    assert answer["release"] == first.release
    assert time.monotonic() - started < 5  # `make bench` measures it; here only a rebuild would show


def test_provisioning_again_changes_nothing(shipyard: Shipyard, first: First):
    for stamp in (shipyard.state / "fleet").glob("*.provisioned"):
        stamp.unlink()
    shipyard.must("fleet", "up")
    stats = [
        line for line in (shipyard.state / "logs" / "provision-production.jsonl").read_text().splitlines() if "on_stats" in line
    ]
    assert len(stats) == 2
    assert set(re.findall(r'"changed":(\d+)', stats[-1])) == {"0"}


def test_a_commit_that_never_becomes_ready_costs_no_request_and_the_first_serves_on(shipyard: Shipyard, first: First):
    commit = shipyard.commit("Dockerfile", 'CMD ["python", "-m", "service"]', 'CMD ["sleep", "900"]', "Never become ready")
    try:
        shipyard.prepare(commit)
        refused = shipyard.run("deploy", "staging", "--commit", commit, "--under-load")
        assert refused.code == 1
        assert "was not ready within 20 s" in refused.err
        assert f"release {first.release[:12]} is still live" in refused.err
        met = shipyard.events("evidence", "staging")[-1]["detail"]["load"]
        assert (met["failed"], met["lost"]) == (0, 0)
        assert met["answered"] == met["sent"] > 100
        assert shipyard.serving(STAGING[0]) == first.release
        assert len([c for c in shipyard.containers() if c.name.startswith(f"{shipyard.project}-staging-1-")]) == 1
    finally:
        git(shipyard.checkout, "reset", "--quiet", "--hard", "HEAD~1")


def test_a_commit_whose_service_ends_at_once_is_refused_with_what_it_said(shipyard: Shipyard, first: First):
    commit = shipyard.commit("Dockerfile", "SERVICE_PORT=8000", "SERVICE_PROT=8000", "Misspell a setting")
    try:
        shipyard.prepare(commit)
        refused = shipyard.run("deploy", "staging", "--commit", commit)
        assert refused.code == 1
        assert "its process ended" in refused.err
        assert "unknown setting SERVICE_PROT" in (shipyard.state / "logs" / "deploy.hosts.txt").read_text()
        assert shipyard.serving(STAGING[0]) == first.release
    finally:
        git(shipyard.checkout, "reset", "--quiet", "--hard", "HEAD~1")


def test_a_release_that_was_never_loaded_is_not_promoted(shipyard: Shipyard, first: First):
    commit = shipyard.change_code("Ask another way")
    release = shipyard.prepare(commit)
    shipyard.must("deploy", "staging", "--release", release)
    refused = shipyard.run("promote", "--from", "staging", "--to", "production")
    assert refused.code == 1
    assert "load@staging was never asked" in refused.err
    assert {shipyard.serving(host) for host in PRODUCTION} == {first.release}


def test_the_second_commit_is_promoted_under_load_and_rolled_back(shipyard: Shipyard, first: First):
    second = shipyard.serving(STAGING[0])
    shipyard.must("loadtest", "staging")
    promoted = shipyard.must("promote", "--from", "staging", "--to", "production", "--json").json
    assert {shipyard.serving(host) for host in PRODUCTION} == {second}
    assert (promoted["load"]["failed"], promoted["load"]["lost"]) == (0, 0)
    shipyard.must("rollback", "production")
    assert {shipyard.serving(host) for host in PRODUCTION} == {first.release}


def test_a_deploy_that_is_killed_half_way_is_taken_up_again(shipyard: Shipyard, first: First):
    with shipyard.start("deploy", "production", "--release", shipyard.serving(STAGING[0])[:12]) as child:
        log = shipyard.state / "logs" / "deploy.jsonl"
        size, end = log.stat().st_size, time.monotonic() + 60
        while "Drain the old slot" not in log.read_text()[size:]:
            assert time.monotonic() < end, "the deploy never came to its switch"
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    assert {shipyard.serving(host) for host in PRODUCTION} <= {first.release, shipyard.serving(STAGING[0])}
    again = shipyard.must("deploy", "production", "--release", shipyard.serving(STAGING[0])[:12])
    assert "was cut short" in again.err
    assert {shipyard.serving(host) for host in PRODUCTION} == {shipyard.serving(STAGING[0])}


def test_a_push_ships_its_commit_to_staging_and_the_terminal_shows_it(shipyard: Shipyard, first: First):
    before = shipyard.serving(PRODUCTION[0])
    commit = shipyard.change_code("Ship by a push")
    shown = shipyard.push()
    for stage in ("arrive", "gates / tests", "build", "staging / deploy to staging", "staging / load staging"):
        assert re.search(rf"remote:\s+passed  {stage}  ", shown), shown
    assert re.search(r"remote:\s+paused  approve ", shown)
    release = shipyard.serving(STAGING[0])
    assert [e["detail"]["commit"] for e in shipyard.events("released") if e["subject"] == release] == [commit]
    assert {shipyard.serving(host) for host in PRODUCTION} == {before}


def test_what_was_pushed_goes_to_production_once_somebody_agrees(shipyard: Shipyard, first: First):
    shipyard.must("approve", "--reason", "it looks good")
    assert {shipyard.serving(host) for host in PRODUCTION} == {shipyard.serving(STAGING[0])}
    reasons = [event["detail"]["reason"] for event in shipyard.events("approved")]
    assert reasons == ["asking for the demo is to agree", "it looks good"]
    assert shipyard.run("approve").code == 2


def test_no_proxy_was_restarted_by_all_these_deploys(shipyard: Shipyard, first: First):
    assert shipyard.proxies(PRODUCTION) == first.proxies
