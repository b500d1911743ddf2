"""Images: the base, the runtime keyed by the lock, the service keyed by the tree. A home of the Docker SDK, beside fleet/local.py.

After a push an image is only ever `registry/repository@sha256:…`.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from pipeline import base_image, wheelhouse
from pipeline.collaborators import Story
from pipeline.commit import Commit
from pipeline.dockerfile import stage_of
from pipeline.errors import PipelineError, UsageError
from pipeline.settings import Settings

BASE_TAG, RUNTIME_TAG = "slipway/base", "slipway/runtime"
LOCK_FILES = ("bootstrap.txt", "service.txt")
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json"
BUILD_SECONDS = 1800


def connect() -> docker.DockerClient:
    """A client of the engine. Raises PipelineError when none answers."""
    try:
        client = docker.from_env(timeout=BUILD_SECONDS)
        client.ping()
    except DockerException as error:
        raise PipelineError("no Docker engine answers", hint="`python -m pipeline doctor --install` can set one up") from error
    return client


def engine_answers() -> bool:
    """Whether a Docker engine answers."""
    try:
        connect().close()
    except PipelineError:
        return False
    return True


def lock_sha256(files: Path) -> str:
    """The hash of the locks that go into the image, in the tree at `files`."""
    return _hash(*((files / "requirements" / name).read_bytes() for name in LOCK_FILES))


def model_sha256(files: Path, settings: Settings) -> str:
    """The model's address: the sha256 of its description. Raises UsageError when the tree has none."""
    try:
        return hashlib.sha256((files / settings.model).read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"the tree has no model at {settings.model}", hint="the setting `model` names it") from error


class DockerImages:
    """Builds on this machine's engine and pushes to the settings' registry."""

    def __init__(self, settings: Settings, root: Path, story: Story) -> None:
        self._settings = settings
        self._root = root
        self._story = story
        self._repository = f"{settings.registry}/slipway/service"

    def key(self, commit: Commit) -> str:
        return _hash(b"service", commit.tree.encode(), self._settings.base_image.encode(), self._settings.model.encode())

    def exists(self, image: str) -> bool:
        repository, _, digest = image.partition("@")
        registry, _, name = repository.partition("/")
        request = urllib.request.Request(f"http://{registry}/v2/{name}/manifests/{digest}", method="HEAD")
        request.add_header("Accept", MANIFESTS)
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def build(self, commit: Commit, key: str) -> str:
        client = connect()
        dockerfile = (commit.files / "Dockerfile").read_text()
        runtime = self._runtime(client, commit, dockerfile)
        lock, model = lock_sha256(commit.files), model_sha256(commit.files, self._settings)
        labels = {
            "org.opencontainers.image.revision": commit.id,
            "org.opencontainers.image.title": "Slipway recognition service",
            "slipway.lock": lock,
            "slipway.model": model,
            "slipway.key": key,
        }
        self._story.progress(f"service image from tree {commit.tree[:12]}")
        tag = f"{self._repository}:{key[:24]}"
        context = _archive({"Dockerfile": stage_of(dockerfile, "service").encode(), **_files(commit.files, "service")})
        build(client, context, tag=tag, arguments={"RUNTIME": runtime, "LOCK": lock}, labels=labels, story=self._story)
        return self._push(client, key[:24])

    def base(self, client: docker.DockerClient) -> str:
        """The id of the base image: pulled, or made from the Debian mirror when it cannot be."""
        wanted = self._settings.base_image
        for known in (wanted, BASE_TAG):
            if found := image_id(client, known):
                return found
        try:
            self._story.progress(f"pulling {wanted}")
            return str(client.images.pull(wanted).id)
        except (APIError, DockerException):
            self._story.note(f"{wanted} cannot be pulled: making a base from {self._settings.debian_mirror}")
        folder = self._root / self._settings.state / "base"
        return base_image.make(self._settings.debian_mirror, lambda tar: _imported(client, tar), folder, self._story)

    def _runtime(self, client: docker.DockerClient, commit: Commit, dockerfile: str) -> str:
        """The id of the runtime image for the commit's locks, built when there is none."""
        base = self.base(client)
        stage = stage_of(dockerfile, "runtime")
        locks = {f"requirements/{name}": (commit.files / "requirements" / name).read_bytes() for name in LOCK_FILES}
        tag = f"{RUNTIME_TAG}:{_hash(base.encode(), stage.encode(), *locks.values())[:24]}"
        if found := image_id(client, tag):
            return found
        self._story.note("the lock is new here: building its runtime image, which takes minutes and happens once")
        context = _archive({"Dockerfile": stage.encode(), **locks})
        wheels = self._root / self._settings.wheelhouse
        wheelhouse.fill(sys.executable, [commit.files / name for name in locks], wheels, self._story)
        with wheelhouse.served(wheels, self._settings.wheelhouse_port) as url:
            build(client, context, tag=tag, arguments={"BASE": base, "WHEELHOUSE": url}, story=self._story)
        return str(client.images.get(tag).id)

    def _push(self, client: docker.DockerClient, tag: str) -> str:
        digest, shown = "", dict[str, str]()
        for message in client.images.push(self._repository, tag=tag, stream=True, decode=True):
            if "error" in message:
                raise PipelineError(f"the image cannot be pushed: {message['error']}", hint="is the registry up?")
            digest = message.get("aux", {}).get("Digest", digest)
            if text := message.get("progress"):
                shown[message["id"]] = f"pushing {message['id']} {text.split(']')[-1].strip()}"
                self._story.progress(shown[message["id"]])
        if not digest:
            raise PipelineError("the registry took the image and named no digest")
        return f"{self._repository}@{digest}"


def build(
    client: docker.DockerClient,
    context: io.BytesIO,
    *,
    tag: str,
    story: Story,
    arguments: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    target: str | None = None,
) -> None:
    """Build a tar archive with a Dockerfile. Raises PipelineError with what the failing step said."""
    said: list[str] = []
    try:
        stream = client.api.build(
            fileobj=context, custom_context=True, tag=tag, buildargs=dict(arguments or {}), labels=dict(labels or {}),
            target=target or "", network_mode="host", rm=True, forcerm=True, decode=True,
        )  # fmt: skip
        for message in stream:
            if "error" in message:
                raise PipelineError(f"the image {tag} cannot be built: {message['error']}", hint=" | ".join(said[-3:]))
            if text := message.get("stream", "").strip():
                said.append(text)
                story.progress(text.splitlines()[0][:100])
    except (APIError, BuildError) as error:
        raise PipelineError(f"the image {tag} cannot be built: {error}") from error


def image_id(client: docker.DockerClient, name: str) -> str | None:
    """The id of a local image."""
    try:
        return str(client.images.get(name).id)
    except ImageNotFound:
        return None


def folder_archive(folder: Path) -> io.BytesIO:
    """A build context of all files in a folder."""
    return _archive(_files(folder.parent, folder.name, strip=True))


def _imported(client: docker.DockerClient, archive: Path) -> str:
    answer = client.api.import_image_from_file(str(archive), repository=BASE_TAG, tag="latest")
    return str(json.loads(answer.splitlines()[-1])["status"])


def _files(root: Path, folder: str, *, strip: bool = False) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in _walk(root / folder, root / folder if strip else root)}


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(root)), path


def _archive(files: Mapping[str, bytes]) -> io.BytesIO:
    """A tar in which only names and contents count: order, times, owners and modes are always the same."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    buffer.seek(0)
    return buffer


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
