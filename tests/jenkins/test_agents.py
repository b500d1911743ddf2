"""The image of the `deploy` agents, built on the machine's engine up to where Java is added: what is in it, and what it runs."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from pipeline import image, wheelhouse
from pipeline.gates.locks import read_requirements
from pipeline.settings import Settings

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parent.parent.parent
STAGE, LOCKS = "environment-deploy", ("bootstrap", "pipeline")
PORT = 5031  # of the wheelhouse; 5011 and 5021 are the demo's and the shipyard's
BUILD_SECONDS = 600
WORKSPACE = "/home/jenkins/agent/workspace"
INSTALLED = """
import json
from importlib import metadata
print(json.dumps({found.metadata["Name"]: found.version for found in metadata.distributions()}))
"""


class Quiet:
    """A story that nobody reads."""

    def step(self, verb: str, text: str) -> None: ...
    def progress(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Agent:
    """A container as Jenkins would start it: nothing in it runs until something is executed."""

    container: Container

    def run(self, *argv: str, workdir: str = WORKSPACE, user: str = "jenkins", **environment: str) -> tuple[int, str]:
        code, output = self.container.exec_run(list(argv), workdir=workdir, user=user, environment=environment)
        return int(code), output.decode()

    def must(self, *argv: str, **options: str) -> str:
        code, output = self.run(*argv, **options)
        assert code == 0, output
        return output

    def put(self, files: dict[str, bytes], target: str = WORKSPACE) -> None:
        """Files that belong to the agent's user, as a checkout does."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o644, 1000, 1000
                tar.addfile(entry, io.BytesIO(data))
        self.container.put_archive(target, buffer.getvalue())


def checkout() -> dict[str, bytes]:
    """What the command line needs of this repository to say what it can."""
    found = [ROOT / "slipway.toml", *(ROOT / "requirements").iterdir(), *(p for p in (ROOT / "pipeline").rglob("*") if p.is_file())]
    return {str(path.relative_to(ROOT)): path.read_bytes() for path in found if "__pycache__" not in path.parts}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Whatever a build waits for, it does not wait longer."""

    def over(*_: object) -> None:
        raise TimeoutError(f"the image is not built after {seconds} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=BUILD_SECONDS)
    yield client
    client.close()


@pytest.fixture(scope="module")
def built(client: docker.DockerClient) -> Iterator[str]:
    """The tag of the image; it is removed at the end, the layers that others may use are not."""
    settings, story, tag = Settings(), Quiet(), f"slipway/agent-test:{os.getpid()}"
    base = image.DockerImages(settings, ROOT, story).base(client)
    locks = [ROOT / "requirements" / f"{name}.txt" for name in LOCKS]
    wheels = ROOT / settings.wheelhouse
    wheelhouse.fill(sys.executable, locks, wheels, story)
    names = (
        "jenkins/agents/Dockerfile",
        "jenkins/agents/python",
        "pipeline/bootstrap.py",
        *(f"requirements/{n}.txt" for n in LOCKS),
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            entry = tarfile.TarInfo("Dockerfile" if name.endswith("Dockerfile") else name)
            data = (ROOT / name).read_bytes()
            entry.size, entry.mode = len(data), 0o600  # whatever the umask of whoever checked it out
            tar.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    try:
        with within(BUILD_SECONDS), wheelhouse.served(wheels, PORT) as url:
            image.build(client, buffer, tag=tag, target=STAGE, arguments={"BASE": base, "WHEELHOUSE": url}, story=story)
        yield tag
    finally:
        for found in client.images.list(tag):
            client.images.remove(found.tags[0], force=True)


@pytest.fixture
def agent(client: docker.DockerClient, built: str) -> Iterator[Agent]:
    """A container with a checkout of this repository, its state in a folder of its own."""
    container = client.containers.run(built, ["sleep", "600"], detach=True, network_mode="none")
    try:
        agent = Agent(container)
        agent.must("mkdir", "-p", WORKSPACE, workdir="/")
        agent.put(checkout())
        yield agent
    finally:
        container.remove(force=True)


def test_the_environment_is_the_two_locks_and_nothing_else(agent: Agent):
    found = json.loads(agent.must("/opt/slipway/.venv/bin/python", "-c", INSTALLED, workdir="/"))
    locked = {pin.name: pin.version for name in LOCKS for pin in read_requirements(ROOT / "requirements" / f"{name}.txt").pins}
    installed = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in found.items()}
    assert {name: version for name, version in installed.items() if name != "setuptools"} == locked
    assert "torch" not in installed


def test_the_command_line_runs_in_a_checkout_as_an_ordinary_user(agent: Agent):
    assert agent.must("id", "-u").strip() == "1000"
    assert "Ship a release" in agent.must("python", "-m", "pipeline", "--help", SLIPWAY_STATE="/var/lib/slipway")
    assert agent.must("stat", "--format=%U", "/var/lib/slipway", workdir="/").strip() == "jenkins"


def test_a_build_cannot_change_the_environment_of_the_image(agent: Agent):
    code, output = agent.run("sh", "-c", "touch /opt/slipway/.venv/x || touch /usr/local/bin/x", workdir="/")
    assert code != 0
    assert "Permission denied" in output


def test_programs_that_the_pipeline_calls_are_there(agent: Agent):
    for program in ("git", "make", "ssh", "ssh-keygen", "tar", "flock", "pgrep"):
        assert agent.must("which", program, workdir="/").startswith("/")


def test_a_commit_with_the_locks_of_the_image_runs_in_the_images_environment(agent: Agent):
    assert agent.must("python", "-c", "import sys; print(sys.prefix)").strip() == "/opt/slipway/.venv"
    assert agent.run("test", "-e", f"{WORKSPACE}/.venv")[0] == 1


def test_without_a_checkout_the_images_environment_answers(agent: Agent):
    assert agent.must("python", "-c", "import sys; print(sys.prefix)", workdir="/tmp").strip() == "/opt/slipway/.venv"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_commit_with_another_lock_gets_an_environment_of_its_own(agent: Agent, lock: str):
    """The commit's own bootstrap is asked for it: here one that says what it was asked for."""
    stub = (
        "import json, os, pathlib, sys\n"
        "pathlib.Path('.venv/bin').mkdir(parents=True)\n"
        "os.symlink('/usr/bin/python3.11', '.venv/bin/python')\n"
        "pathlib.Path('asked.json').write_text(json.dumps(sys.argv[1:]))\n"
    )
    changed = (ROOT / "requirements" / f"{lock}.txt").read_bytes() + b"# another\n"
    agent.put({f"requirements/{lock}.txt": changed, "pipeline/bootstrap.py": stub.encode()})
    wheels = "/var/lib/slipway/wheelhouse"
    output = agent.must("python", "-c", "import os, sys; print(os.path.realpath(sys.executable))", SLIPWAY_WHEELHOUSE=wheels)
    assert output.splitlines()[-1] == "/usr/bin/python3.11"
    assert json.loads(agent.must("cat", "asked.json")) == ["--locks", *LOCKS]


def test_an_environment_that_cannot_be_made_is_a_failure_and_never_the_images(agent: Agent):
    agent.put({"requirements/pipeline.txt": b"", "pipeline/bootstrap.py": b"import sys\nsys.exit(3)\n"})
    code, _ = agent.run("python", "-c", "print('ran')", SLIPWAY_WHEELHOUSE="/var/lib/slipway/wheelhouse")
    assert code == 3
