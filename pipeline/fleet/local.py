"""The local provider: every host is a container with SSH on its own loopback address. The second home of the Docker SDK.

The service's containers run on this machine's engine, in the network of "their" host: nothing is copied, and the playbooks
still meet a host with an engine, a proxy and a port 80. A registry of the fleet's own is one more container.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import shlex
import shutil
import socket
import tarfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from pipeline import image, process
from pipeline.collaborators import Story
from pipeline.errors import PipelineError, UsageError
from pipeline.settings import EnvironmentSettings, Settings

MACHINES = Path(__file__).parent / "machines"
SSH_SECONDS = 20
PROJECT, STATE, ENVIRONMENT = "slipway.project", "slipway.state", "slipway.environment"
SOCKET = "/var/run/docker.sock"
KEY_FILE = "ansible_ssh_private_key_file"


class LocalFleet:
    """`base` gives the base image's id; `provision` runs the provisioning playbook against an inventory."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        story: Story,
        base: Callable[[docker.DockerClient], str],
        provision: Callable[[Path, str], None],
    ) -> None:
        self._settings = settings
        self._root = root
        self._state = (root / settings.state).resolve()
        self._story = story
        self._base = base
        self._provision = provision

    def registry_up(self) -> None:
        """Make sure that the registry answers; what was pushed to it is kept in a volume."""
        client = image.connect()
        name = f"{self._settings.project}-registry"
        self._refuse_foreign(client)
        if not client.containers.list(filters={"name": f"^{name}$"}):
            self._story.step("raising", f"the registry on {self._settings.registry}")
        self._volume(client, name, {})
        address, _, port = self._settings.registry.partition(":")
        self._running(
            client, name, "registry", ports={"5000/tcp": (address, int(port))},
            volumes={name: {"bind": "/var/lib/registry", "mode": "rw"}},
        )  # fmt: skip
        self._wait("the registry", lambda: _answers_http(f"http://{self._settings.registry}/v2/"))

    def up(self, environment: EnvironmentSettings) -> None:
        client = image.connect()
        self._refuse_foreign(client)
        self._volume(client, self._data_volume(environment), {ENVIRONMENT: environment.name})
        key = self._ssh_key()
        containers = [self._host(client, environment, number, key) for number in range(1, len(environment.hosts) + 1)]
        for address in environment.hosts:
            self._wait(f"SSH on {address}", functools.partial(_greets, address, 22))
        self._write_known_hosts(environment, containers)
        inventory = self._write_inventory(environment)
        stamp = self._state / "fleet" / f"{environment.name}.provisioned"
        wanted = _fingerprint(
            self._root / "ansible", [str(c.id) for c in containers], inventory.read_text().replace(str(self._private_key()), "")
        )
        if stamp.exists() and stamp.read_text() == wanted:
            return
        self._provision(inventory, environment.name)
        stamp.write_text(wanted)

    def down(self, environment: EnvironmentSettings) -> None:
        client = image.connect()
        self._remove(client, {ENVIRONMENT: environment.name})
        for suffix in (".json", ".provisioned", ".known_hosts"):
            (self._state / "fleet" / f"{environment.name}{suffix}").unlink(missing_ok=True)

    def everything_down(self) -> list[str]:
        removed = self._remove(image.connect(), {})
        shutil.rmtree(self._state / "fleet", ignore_errors=True)
        return removed

    def made(self) -> bool:
        """Whether hosts were made from this checkout and not removed."""
        return any((self._state / "fleet").glob("*.json"))

    def status(self, environment: EnvironmentSettings) -> dict[str, str]:
        found = {c.name: c.status for c in image.connect().containers.list(all=True, filters=self._filter({}))}
        names = {host: self._name(environment, number) for number, host in enumerate(environment.hosts, start=1)}
        return {
            host: "missing" if name not in found else "running" if found[name] == "running" else "stopped"
            for host, name in names.items()
        }

    def inventory(self, environment: EnvironmentSettings) -> Path:
        path = self._state / "fleet" / f"{environment.name}.json"
        if not path.exists():
            raise UsageError(f"the hosts of {environment.name} are not up", hint=f"python -m pipeline fleet up {environment.name}")
        document = json.loads(path.read_text())
        if document["service"]["vars"][KEY_FILE] != str(self._private_key()):  # Jenkins puts it elsewhere in every build
            document["service"]["vars"][KEY_FILE] = str(self._private_key())
            path.write_text(json.dumps(document, indent=2))
        return path

    def _host(self, client: docker.DockerClient, environment: EnvironmentSettings, number: int, key: str) -> Container:
        address = environment.hosts[number - 1]
        name = self._name(environment, number)
        container = self._running(
            client, name, "host", ports={"22/tcp": (address, 22), "80/tcp": (address, 80)}, hostname=name,
            labels={ENVIRONMENT: environment.name}, volumes={SOCKET: {"bind": SOCKET, "mode": "rw"}},
        )  # fmt: skip
        container.put_archive("/home/admin/.ssh", _one_file("authorized_keys", key.encode()))
        return container

    def _running(
        self, client: docker.DockerClient, name: str, machine: str, *, labels: Mapping[str, str] | None = None, **options: Any
    ) -> Container:
        """The container of that name, made or started as needed."""
        try:
            container = client.containers.get(name)
        except NotFound:
            self._story.progress(f"making {name}")
            options["labels"] = {PROJECT: self._settings.project, STATE: str(self._state), **(labels or {})}
            options["restart_policy"] = {"Name": "unless-stopped"}
            try:
                container = client.containers.create(self._machine_image(client, machine), name=name, init=True, **options)
            except APIError as error:
                raise PipelineError(f"the machine {name} cannot be made: {error.explanation}") from error
        try:
            container.start()
        except APIError as error:
            container.remove(force=True)
            hint = "is another fleet on these addresses? The settings file names them"
            raise PipelineError(f"the machine {name} cannot be started: {error.explanation}", hint=hint) from error
        return container

    def _volume(self, client: docker.DockerClient, name: str, labels: Mapping[str, str]) -> None:
        """A volume that `down` will find."""
        client.volumes.create(name, labels={PROJECT: self._settings.project, **labels})

    def _machine_image(self, client: docker.DockerClient, machine: str) -> str:
        base = self._base(client)
        content = b"".join(path.read_bytes() for path in sorted(MACHINES.iterdir()))
        tag = f"slipway/{machine}:{hashlib.sha256(base.encode() + content).hexdigest()[:24]}"
        if image.image_id(client, tag) is None:
            self._story.note(f"building the image of a {machine}, once")
            context = image.folder_archive(MACHINES)
            image.build(client, context, tag=tag, target=machine, arguments={"BASE": base}, story=self._story)
        return tag

    def _remove(self, client: docker.DockerClient, labels: Mapping[str, str]) -> list[str]:
        """Remove the containers with these labels, those that live in their network, and then the volumes."""
        removed = []
        for container in client.containers.list(all=True, filters=self._filter(labels)):
            removed.append(str(container.name))
            container.remove(force=True, v=True)
        for volume in client.volumes.list(filters=self._filter(labels)):
            removed.append(str(volume.name))
            volume.remove(force=True)
        return removed

    def _filter(self, labels: Mapping[str, str]) -> dict[str, str | list[str] | bool]:
        return {"label": [f"{k}={v}" for k, v in {PROJECT: self._settings.project, **labels}.items()]}

    def _refuse_foreign(self, client: docker.DockerClient) -> None:
        """Two ledgers must not share hosts by accident. (Two checkouts may share a state, as a hook's and a person's do.)"""
        for container in client.containers.list(all=True, filters=self._filter({})):
            owner = container.labels.get(STATE, "")
            if owner not in ("", str(self._state)):
                raise UsageError(
                    f"the project {self._settings.project!r} is up on this machine, with its state in {owner}",
                    hint="`make down` here or there removes it; SLIPWAY_FILE can name a file with another project and other hosts",
                )

    def _ssh_key(self) -> str:
        """The public half of the key that opens the hosts: the setting's, else one of the fleet's own, made with the first host."""
        path = self._private_key()
        if self._settings.ssh_key:
            return process.must(["ssh-keygen", "-y", "-f", str(path)])
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            process.must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway", "-f", str(path)])
        return path.with_suffix(".pub").read_text()

    def _private_key(self) -> Path:
        return self._root / self._settings.ssh_key if self._settings.ssh_key else self._state / "ssh" / "id_ed25519"

    def _write_known_hosts(self, environment: EnvironmentSettings, containers: list[Container]) -> None:
        """The hosts' keys, read through the engine: SSH then never has to trust on first use."""
        lines = []
        for address, container in zip(environment.hosts, containers, strict=True):
            stream, _ = container.get_archive("/etc/ssh/ssh_host_ed25519_key.pub")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                member = tar.extractfile("ssh_host_ed25519_key.pub")
                assert member is not None
                kind, key = member.read().decode().split()[:2]
            lines.append(f"{address} {kind} {key}\n")
        (self._state / "fleet").mkdir(parents=True, exist_ok=True)
        (self._state / "fleet" / f"{environment.name}.known_hosts").write_text("".join(lines))

    def _write_inventory(self, environment: EnvironmentSettings) -> Path:
        folder = self._state / "fleet"
        known_hosts = folder / f"{environment.name}.known_hosts"
        hosts = {
            self._name(environment, number): {
                "ansible_host": address,
                "service_network_mode": f"container:{self._name(environment, number)}",
            }
            for number, address in enumerate(environment.hosts, start=1)
        }
        variables = {
            "ansible_user": "admin",
            "ansible_become": True,
            "ansible_python_interpreter": "/usr/bin/python3",
            KEY_FILE: str(self._private_key()),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={shlex.quote(str(known_hosts))} -o StrictHostKeyChecking=yes",
            "service_data_volume": self._data_volume(environment),
            "service_environment": dict(environment.service),
            "service_labels": {PROJECT: self._settings.project, STATE: str(self._state), ENVIRONMENT: environment.name},
        }
        path = folder / f"{environment.name}.json"
        path.write_text(json.dumps({"service": {"hosts": hosts, "vars": variables}}, indent=2))
        return path

    def _data_volume(self, environment: EnvironmentSettings) -> str:
        """One store for all hosts of the environment: they are one machine, so SQLite may be shared."""
        return f"{self._settings.project}-{environment.name}-data"

    def _name(self, environment: EnvironmentSettings, number: int) -> str:
        return f"{self._settings.project}-{environment.name}-{number}"

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + SSH_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise PipelineError(f"{what} does not answer within {SSH_SECONDS} s")
            time.sleep(0.1)


def _greets(address: str, port: int) -> bool:
    """Whether an SSH server says its name there; a forwarded port takes connections before the server is up."""
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _answers_http(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def _one_file(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o600, 1000, 1000
        tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _fingerprint(ansible: Path, machines: list[str], inventory: str) -> str:
    """What a provisioning depended on: the playbooks, the machines, and their variables."""
    digest = hashlib.sha256("\n".join([*machines, inventory]).encode())
    for path in sorted(ansible.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(ansible)).encode() + path.read_bytes())
    return digest.hexdigest()
