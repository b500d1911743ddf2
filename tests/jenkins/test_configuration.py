"""The controller's configuration, its image, its agents and its job, without a controller: complete, exact, without secrets, and in
step with the Jenkinsfile. Every check is also shown to notice what it is for, on a copy that is broken on purpose."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml

from pipeline.cli import cli
from tests.jenkins import configuration as config
from tests.jenkins.configuration import CHECKS

ROOT = Path(__file__).parent.parent.parent
PLUGINS, AGENTS, SECURITY = "jenkins/controller/plugins.txt", "jenkins/casc/agents.yaml", "jenkins/casc/security.yaml"
CONTROLLER, CREDENTIALS, JOBS = "jenkins/casc/controller.yaml", "jenkins/casc/credentials.yaml", "jenkins/casc/jobs.yaml"
USERS, EC2, XML, COMPOSE = (
    "jenkins/options/users.yaml",
    "jenkins/options/ec2.yaml",
    "jenkins/jobs/slipway.xml",
    "jenkins/compose.yaml",
)
EXAMPLE, README = "jenkins/env.example", "jenkins/README.md"
IMAGE, AGENT_IMAGES = "jenkins/controller/Dockerfile", "jenkins/agents/Dockerfile"

# Check -> what it has to see: the file, what is in it, what takes its place, and a part of what the check says of that.
BROKEN = {
    config.plugins_are_pinned: {
        "a floating plugin": (PLUGINS, "junit:1424.vc64a_edde7777", "junit:latest", "'junit:latest' is not one"),
        "a plugin without version": (PLUGINS, "git:5.10.1\n", "git\n", "'git' is not one"),
        "a plugin out of order": (PLUGINS, "junit:", "zjunit:", "not sorted"),
        "a plugin pinned twice": (PLUGINS, "git:5.10.1\n", "git:5.10.0\ngit:5.10.1\n", "git is pinned more"),
        "a plugin pinned twice, in two files": (
            "jenkins/options/ec2.plugins.txt", "ec2:", "credentials:1\nec2:", "credentials is pinned more",
        ),
    },
    config.plugins_are_those_that_are_used: {
        "a missing plugin of a step": (
            PLUGINS, "lockable-resources:1539.v4db_b_fc1cc115\n", "", "lockable-resources is used and not",
        ),
        "a missing plugin of an option": (
            "jenkins/options/sso.plugins.txt", "oic-auth:4.718.ve731df6ca_88a_\n", "", "oic-auth is used",
        ),
        "a plugin that nothing uses": (PLUGINS, "junit:", "jira:3.12\njunit:", "jira is pinned and not used"),
        "a step that no plugin is known for": ("Jenkinsfile", "echo 'approved'", "slackSend 'approved'", "brings 'slackSend'"),
        "a step with arguments that no plugin is known for": (
            "Jenkinsfile", "echo 'approved'", "slackSend(message: 'approved')", "brings 'slackSend'",
        ),
        "a step in one line with its block": ("Jenkinsfile", "failFast false", "script { load 'x.groovy' }", "brings 'load'"),
        "a step that is no longer used": (
            "Jenkinsfile", "junit testResults: 'evidence/tests.xml', allowEmptyResults: true", "", "'junit' is in the table",
        ),
        "a word of the seed that is not known": (JOBS, "gitHubTagDiscovery()", "gitHubTagDiscovry()", "brings 'gitHubTagDiscovry'"),
        "a misspelt key": (AGENTS, "labelString:", "labelStrng:", "templates[].labelStrng is no key"),
        "a root object of a plugin that is not known": (
            CONTROLLER, "  timestamper:", "  slackNotifier:", "unclassified.slackNotifier is no key",
        ),
        "a key that is no longer used": (
            CONTROLLER, "  noUsageStatistics: true\n", "", "noUsageStatistics is in the table and not",
        ),
        "a class of the job that is not known": (
            XML, "jenkins.plugins.git.GitSCMSource", "org.example.Source", "brings org.example.Source",
        ),
    },
    config.yaml_is_sound: {
        "YAML that does not parse": (CONTROLLER, "numExecutors: 0", "numExecutors: [", "controller.yaml: "),
        "a key that is there twice": (CONTROLLER, "mode: EXCLUSIVE", "numExecutors: 2", "'numExecutors' is there twice"),
        "a root that is none": (CONTROLLER, "\nsecurity:", "\nsecurty:", "'securty' is no root"),
        "a key in two files": (
            SECURITY, "jenkins:\n", "jenkins:\n  numExecutors: 0\n", "jenkins.numExecutors is in controller.yaml and in",
        ),
        "a realm in a file that is loaded with both": (
            SECURITY, "jenkins:\n", "jenkins:\n  securityRealm: ldap\n", "jenkins.securityRealm is in security.yaml and in",
        ),
    },
    config.secrets_are_variables: {
        "a planted password": (USERS, "${READERS_PASSWORD}", "let me in", "users[].password is written out"),
        "a planted token": (CREDENTIALS, "${GIT_TOKEN}", "swordfish", "usernamePassword.password is written out"),
        "a planted file": (CREDENTIALS, "${HOSTS_SSH_KEY_BASE64}", "LS0t", "secretBytes is written out"),
        "a variable with a literal in front": (
            CREDENTIALS, "${WEBHOOK_SECRET}", "x${WEBHOOK_SECRET}", "string.secret is written out",
        ),
        "a variable with a default": (
            CREDENTIALS, "${WEBHOOK_SECRET}", "${WEBHOOK_SECRET:-swordfish}", "string.secret is written out",
        ),
        "a secret of the example": (EXAMPLE, "\nGIT_TOKEN=", "\nGIT_TOKEN=abc", "GIT_TOKEN has a value"),
        "a private key in a comment": (
            CREDENTIALS, "# Every secret", "# -----BEGIN OPENSSH PRIVATE KEY-----\n# Every", "looks like a key",
        ),
        "a secret in compose.yaml": (
            COMPOSE, "    env_file: .env", "    environment:\n      ADMIN_TOKEN: abc", "ADMIN_TOKEN is written out",
        ),
    },
    config.variables_are_documented: {
        "a variable that the example lacks": (EXAMPLE, "GITHUB_OWNER=\n", "", "GITHUB_OWNER is used and not in env"),
        "a variable that the page lacks": (README, "| `GITHUB_OWNER` |", "| owner |", "GITHUB_OWNER is used and not in README"),
        "a variable that nothing uses": (EXAMPLE, "ADMIN_ADDRESS=", "MAIL_HOST=\nADMIN_ADDRESS=", "MAIL_HOST is in env"),
        "a variable that only the page has": (
            README, "| `GIT_USER` |", "| `GIT_MAIL` | | |\n| `GIT_USER` |", "GIT_MAIL is in README.md",
        ),
    },
    config.labels_have_agents: {
        "a label that no agent has": ("Jenkinsfile", "agent { label 'deploy' }", "agent { label 'gpu' }", "no 'gpu'"),
        "a label of `node` that no agent has": ("Jenkinsfile", "node('cpu')", "node('small')", "no 'small'"),
        "an agent that nothing asks for": (EC2, 'labelString: "cpu"', 'labelString: "gpu"', "EC2 cloud has 'gpu'"),
        "an agent without image": (AGENT_IMAGES, "AS cpu", "AS small", "agents/Dockerfile has no 'cpu'"),
        "agents with each other's images": (
            AGENTS, "${AGENT_CPU_IMAGE}", "${AGENT_DEPLOY_IMAGE}", "'cpu' is started from ['AGENT_DEPLOY_IMAGE']",
        ),
    },
    config.agents_are_as_the_local_provider_needs_them: {
        "an agent in a network of its own": (AGENTS, 'network: "host"', 'network: "bridge"', "not in the machine's network"),
        "an agent without state": (
            AGENTS, '                - "type=volume,source=slipway-state,destination=/var/lib/slipway"\n',
            "", "has no /var/lib/slipway",
        ),
        "an agent that keeps its state in the container": (
            AGENTS, "SLIPWAY_STATE=/var/lib/slipway\n", "SLIPWAY_STATE=var\n", "elsewhere",
        ),
        "an agent with a variable that the pipeline refuses": (
            AGENTS, "SLIPWAY_STATE=", "SLIPWAY_STAT=", "SLIPWAY_STAT, which is no setting",
        ),
    },
    config.agents_have_the_locks_they_say: {
        "an environment with a lock too much": (
            AGENT_IMAGES, "bootstrap.txt requirements/pipeline.txt",
            "bootstrap.txt requirements/pipeline.txt requirements/service.txt", "environment-deploy copies",
        ),
        "an environment that is made of everything": (
            AGENT_IMAGES, " --locks $AGENT_LOCKS", "", "environment-deploy is made with ['']",
        ),
        "an image that says other locks than it has": (
            AGENT_IMAGES, 'AGENT_LOCKS="bootstrap pipeline"', 'AGENT_LOCKS="bootstrap"', "its locks are",
        ),
        "an image from the other's environment": (
            AGENT_IMAGES, "FROM environment-cpu AS cpu", "FROM environment-deploy AS cpu", "cpu is made from",
        ),
        "a file that the build does not get": (
            "jenkins/agents/Dockerfile.dockerignore", "!pipeline/bootstrap.py\n", "", "copied and ignored",
        ),
    },
    config.locks_are_declared: {
        "a lock that is not declared": (
            CONTROLLER, 'name: "environment-production"', 'name: "environment-prod"', "environment-production, which is not",
        ),
        "a lock that nobody takes": ("Jenkinsfile", "environment-staging", "environment-production", "never locked"),
    },
    config.roles_may_what_they_should: {
        "a submitter without a role": (
            "Jenkinsfile", "submitter 'promoters'", "submitter 'chiefs'", "chiefs is to approve, and lacks Job/Build",
        ),
        "readers who may build": (
            SECURITY, '            name: "readers"\n            permissions:\n',
            '            name: "readers"\n            permissions:\n              - "Job/Build"\n', "readers have Job/Build",
        ),
        "developers who may replay": (
            SECURITY, '            name: "developers"\n            permissions:\n',
            '            name: "developers"\n            permissions:\n              - "Run/Replay"\n',
            "developers have Run/Replay",
        ),
        "something for everybody": (SECURITY, 'name: "hooks"', 'name: "authenticated"', "authenticated may something"),
        "accounts that may more than their roles": (
            USERS, '- "Job/Cancel"\n', '- "Job/Cancel"\n              - "Job/Delete"\n', "may not what their roles",
        ),
        "an open door": (USERS, "allowsSignup: false", "allowsSignup: true", "everybody may sign up"),
        "no crumbs": (SECURITY, "    standard:", "    strict:", "there are no crumbs"),
    },
    config.credentials_exist: {
        "a credential that is not there": (
            "Jenkinsfile", "credentials('slipway-ssh-key')", "credentials('ssh')", "'ssh' is used and not there",
        ),
        "a credential of the seed that is not there": (JOBS, "credentialsId('git')", "credentialsId('hub')", "'hub' is used"),
        "a credential of the job that is not there": (
            XML, "<credentialsId>git<", "<credentialsId>forge<", "'forge' is used and not there",
        ),
        "a credential that nothing uses": (
            AGENTS, 'pullCredentialsId: "registry"', 'pullCredentialsId: "git"', "'registry' is there and not used",
        ),
        "a secret of the controller that builds can have": (
            CREDENTIALS, 'scope: SYSTEM\n              id: "webhook"',
            'scope: GLOBAL\n              id: "webhook"', "'webhook' is GLOBAL",
        ),
        "a key that is no file": (CREDENTIALS, "- file:", "- string:", "is no secret file"),
    },
    config.nothing_runs_on_the_controller: {
        "builds on the controller": (CONTROLLER, "numExecutors: 0", "numExecutors: 2", "numExecutors is [2]"),
        "scripts without approval": (CONTROLLER, "useScriptSecurity: true", "useScriptSecurity: false", "scripts run freely"),
    },
    config.seed_makes_one_job: {
        "a second job": (JOBS, "folder('slipway') {", "pipelineJob('other') {}\n      folder('slipway') {", "makes the jobs"),
        "a second folder": (JOBS, "folder('slipway') {", "folder('a') {}\n      folder('slipway') {", "the folders"),
        "a job that the command line does not ask for": (JOBS, "('slipway/slipway')", "('slipway/way')", "asks for slipway/"),
        "tags that are found and not built": (JOBS, "buildTags {", "buildNothing {", "lacks buildTags"),
        "pull requests of strangers": (
            JOBS, "gitHubTagDiscovery()", "gitHubForkDiscovery { strategyId(1) }", "strangers",
        ),
        "a job without Jenkinsfile": (XML, "<scriptPath>Jenkinsfile<", "<scriptPath>ci/Jenkinsfile<", "'ci/Jenkinsfile'"),
    },
    config.dockerfiles_are_tight: {
        "a floating base": (IMAGE, ":2.568.2-lts-jdk21", ":latest", "starts from jenkins/jenkins:latest"),
        "a base without tag": (AGENT_IMAGES, ":21.0.12_8-jre-jammy", "", "starts from eclipse-temurin"),
        "a base that no argument names": (IMAGE, "ARG BASE=jenkins/jenkins:2.568.2-lts-jdk21", "ARG BASE", "from ${BASE}"),
        "a controller that runs as root": (IMAGE, "USER jenkins\n", "", "runs as root"),
        "an agent that runs as root": (AGENT_IMAGES, "USER jenkins\n", "", "deploy runs as root"),
        "a download": (IMAGE, "USER root\n", "USER root\nADD https://example.com/x /x\n", "adds https://"),
        "a secret in an image": (IMAGE, "USER root\n", "USER root\nARG ADMIN_PASSWORD=x\n", "ADMIN_PASSWORD"),
        "a secret among an image's variables": (IMAGE, "ENV CASC", "ENV GIT_TOKEN=x CASC", "GIT_TOKEN"),
    },
    config.compose_is_tight: {
        "an image without tag": (COMPOSE, "slipway/controller:2.568.2-1", "slipway/controller", "controller is the image"),
        "an agent image without tag": (EXAMPLE, "slipway/agent-cpu:1", "slipway/agent-cpu:latest", "agent-cpu is the image"),
        "a controller that may write everywhere": (COMPOSE, "    read_only: true\n", "", "lacks read_only"),
        "a controller that everybody reaches": (COMPOSE, '"127.0.0.1:8080:8080"', '"8080:8080"', "listens on 8080:8080"),
        "a home that is a folder": (COMPOSE, "- jenkins-home:", "- ./home:", "that is no volume"),
        "a privileged controller": (COMPOSE, "    read_only: true", "    read_only: true\n    privileged: true", "has privileged"),
    },
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the checks look at, to be broken."""
    shutil.copytree(ROOT / "jenkins", tmp_path / "jenkins", ignore=shutil.ignore_patterns(".env"))
    shutil.copy(ROOT / "Jenkinsfile", tmp_path)
    return tmp_path


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_jenkins_is_configured_as_it_should_be(check: Callable[[Path], list[str]]):
    assert check(ROOT) == []


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, cases in BROKEN.items() for name in cases])
def test_a_check_finds(copy: Path, check: Callable[[Path], list[str]], name: str):
    file, there, instead, said = BROKEN[check][name]
    text = (copy / file).read_text()
    assert there in text, "there is nothing to break"
    (copy / file).write_text(text.replace(there, instead))
    assert said in "\n".join(check(copy))


def test_every_check_is_shown_to_find_something():
    assert set(BROKEN) == set(CHECKS)
    assert all(BROKEN.values())


def test_a_check_that_finds_something_in_a_copy_finds_nothing_in_an_unbroken_one(copy: Path):
    assert [problem for check in CHECKS for problem in check(copy)] == []


def test_configuration_is_literal():
    """No template language, no anchors: what is read is what is loaded. Variables are the one exception, and JCasC's own."""
    for path in config.casc_files(ROOT):
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        assert not re.search(r"\{\{|\{%|<%|<<:|: [&*]\w", "\n".join(lines)), path.name


def test_every_line_of_the_configuration_ends_within_the_page():
    files = [path for path in (ROOT / "jenkins").rglob("*") if path.is_file() and path.suffix != ".md" and path.name != ".env"]
    assert [f"{p.name}: {line[:40]}" for p in files for line in p.read_text().splitlines() if len(line) > 132] == []


def test_the_jobs_xml_names_no_version_of_a_plugin():
    """Jenkins writes its own; one that is written down here would be wrong with the next upgrade."""
    assert [e.tag for e in config.job_xml(ROOT).iter() if e.get("plugin")] == []


def test_the_two_jobs_keep_what_is_gone_for_the_same_time():
    script, xml = config.seed(ROOT), config.job_xml(ROOT)
    for key in ("daysToKeep", "numToKeep"):
        assert re.findall(rf"{key}\((\d+)\)", script) == [xml.findtext(f"orphanedItemStrategy/{key}")]
    days = re.findall(r"atMostDays\('(\d+)'\)", script)
    assert [str(int(e.text or 0) // 86_400_000) for e in xml.iter("atMostMillis")] == days
    hours = re.findall(r"interval\('(\d+)h'\)", script)
    assert [str(int(e.text or 0) // 3_600_000) for e in xml.iter("interval")] == hours


def test_the_wrapper_is_shell_that_every_shell_reads():
    assert subprocess.run(["sh", "-n", str(ROOT / "jenkins/agents/python")], check=False).returncode == 0
    assert (ROOT / "jenkins/agents/python").read_text().startswith("#!/bin/sh\n")


def test_options_that_the_pages_name_are_there_and_no_others():
    there = {path.stem for path in (ROOT / "jenkins/options").glob("*.yaml")}
    row = next(line for line in (ROOT / README).read_text().splitlines() if line.startswith("| `OPTIONS`"))
    assert set(re.findall(r"`(\w+)`", row)) - {"OPTIONS"} == there
    assert {path.name.partition(".")[0] for path in (ROOT / "jenkins/options").iterdir()} == there


def test_roles_of_the_page_are_those_of_the_configuration():
    rows = re.findall(
        r"^\| `(\w+)` \| .* \| .*\|$", (ROOT / README).read_text().partition("## Who may what")[2].partition("\n## ")[0], re.M
    )
    assert tuple(rows) == config.ROLES


@pytest.mark.parametrize("page", ["README.md", "operations.md"])
def test_every_file_that_a_page_names_is_there(page: str):
    text = (ROOT / "jenkins" / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / "jenkins" / link).exists()] == []
    named = set(re.findall(r"`((?:jenkins/)?(?:casc|options|agents|controller|jobs)/[\w./]*)`", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / "jenkins" / name.removeprefix("jenkins/")).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "operations.md", "jobs/slipway.xml"])
def test_every_command_that_a_page_names_is_one(page: str):
    named = re.findall(r"python -m pipeline ([^`\n|]+)", (ROOT / "jenkins" / page).read_text())
    assert named
    for words in (line.split() for line in named):
        command: click.Command = cli
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            assert words[0] in command.commands, words
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_the_page_says_what_was_never_run():
    section = (ROOT / README).read_text().partition("## What is not proven here")[2]
    for word in (
        "plugins resolve",
        "configuration loads",
        "script sandbox",
        "Restarts",
        "Starting of agents",
        "locks and milestones",
    ):
        assert word in section


def test_pins_that_nobody_has_installed_say_so():
    for path in config.plugin_files(ROOT):
        assert "Documented, not installed here" in path.read_text().splitlines()[0]


def test_yaml_with_a_key_twice_is_refused(tmp_path: Path):
    (tmp_path / "twice.yaml").write_text("a: 1\nb: 2\na: 3\n")
    with pytest.raises(yaml.YAMLError, match="'a' is there twice"):
        config.loaded(tmp_path / "twice.yaml")


@pytest.mark.parametrize(("options", "there"), [("users", {"users"}), ("sso", {"sso"}), ("sso ec2", {"sso", "ec2"})])
def test_the_image_of_the_controller_has_what_its_options_say(tmp_path: Path, options: str, there: set[str]):
    assert with_options(tmp_path, options) == 0
    assert {path.stem for path in (tmp_path / "casc").iterdir()} == {
        path.stem for path in (ROOT / "jenkins/casc").iterdir()
    } | there
    plugins = (tmp_path / "ref/plugins.txt").read_text()
    assert ("oic-auth:" in plugins, "ec2:" in plugins) == ("sso" in there, "ec2" in there)
    assert set(config.pins(ROOT / PLUGINS)) <= set(config.pins(tmp_path / "ref/plugins.txt"))


def test_an_option_that_is_none_stops_the_build_of_the_controller(tmp_path: Path):
    assert with_options(tmp_path, "user") != 0


def with_options(folder: Path, options: str) -> int:
    """Run the lines of the controller's Dockerfile that choose what is loaded, on copies of it; the exit code."""
    run = next(rest for word, rest in config.instructions(ROOT / IMAGE) if word == "RUN" and "$OPTIONS" in rest)
    shutil.copytree(ROOT / "jenkins/casc", folder / "casc")
    shutil.copytree(ROOT / "jenkins/options", folder / "options")
    shutil.copy(ROOT / PLUGINS, folder / "options")
    (folder / "ref").mkdir()
    script = run.replace("/usr/share/jenkins/", f"{folder}/")
    return subprocess.run(
        ["sh", "-c", script], env={"PATH": "/usr/bin:/bin", "OPTIONS": options}, capture_output=True, check=False
    ).returncode
