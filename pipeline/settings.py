"""The pipeline's settings: one file and the environment, checked together before any work starts, unknown keys refused."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import UsageError

PREFIX = "SLIPWAY_"
DEFAULT_FILE = "slipway.toml"
SECRETS = ("jenkins_token", "hook_secret")  # variables that are no settings: a file must not hold them


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """One environment: its hosts, and what a release must show before it may go there.

    `requires` names gates: `dependencies` and `tests` judge the commit, `deploy@ENV` and `load@ENV` the release elsewhere.
    `service` has the environment's own settings of the service, as its containers get them; no secrets.
    """

    name: str
    hosts: tuple[str, ...]
    requires: tuple[str, ...] = ()
    service: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """Each scalar is a key of the file or the variable `SLIPWAY_<NAME>`, which wins. Paths are relative to the repository."""

    project: str = "slipway"
    provider: str = "local"
    state: str = "var"
    registry: str = "127.0.0.1:5010"
    wheelhouse: str = "var/wheelhouse"
    wheelhouse_port: int = 5011
    base_image: str = "debian:bookworm-slim"
    debian_mirror: str = "http://deb.debian.org/debian"
    model: str = "service/models/efficientnet_lite0/model.toml"
    ready_seconds: int = 120
    load_users: int = 8
    load_seconds: int = 20
    repository: str = "."
    ssh_key: str = ""
    jenkins_url: str = ""
    jenkins_user: str = ""
    jenkins_job: str = "slipway/slipway"
    environments: tuple[EnvironmentSettings, ...] = ()

    def environment(self, name: str) -> EnvironmentSettings:
        """The environment of that name. Raises UsageError."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        known = ", ".join(e.name for e in self.environments)
        raise UsageError(f"there is no environment {name!r}", hint=f"the settings name: {known}")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is known only to the environment, or to files that nobody else may read; never a setting, never printed."""

    jenkins_token: str = field(default="", repr=False)
    hook_secret: str = field(default="", repr=False)


def read_secrets(environ: Mapping[str, str], folder: Path) -> Secrets:
    """`SLIPWAY_JENKINS_TOKEN` and `SLIPWAY_HOOK_SECRET`, else the files `jenkins_token` and `hook_secret` in `folder`, else empty.

    A git hook on a server has hardly any environment, so it reads files. Raises UsageError for one that others may read.
    """
    return Secrets(**{name: environ.get(PREFIX + name.upper(), "") or _kept(folder / name) for name in SECRETS})


def _kept(file: Path) -> str:
    try:
        if file.stat().st_mode & 0o077:
            raise UsageError(f"{file} may be read by others", hint=f"chmod 600 {file}")
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def read_settings(root: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of the repository at `root`. Raises UsageError that names every problem at once.

    `SLIPWAY_FILE` names another file than `slipway.toml`.
    """
    file = root / environ.get(PREFIX + "FILE", DEFAULT_FILE)
    try:
        document = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise UsageError(f"there is no settings file {file}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    problems: list[str] = []
    environments = _environments(document.pop("environments", {}), problems)
    given = {**document, **_from_environ(environ, problems)}
    values = _scalars(given, problems)
    problems += [*_clashes(environments), *_bad_url(str(values.get("jenkins_url", "")))]
    if problems:
        raise UsageError(f"{file.name}: {'; '.join(problems)}", hint="README.md has the table of settings")
    return Settings(**values, environments=environments)  # type: ignore[arg-type]


def located(root: Path, settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables by which code in another folder finds this checkout's state, wheels and repository; no secrets."""
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and not _secret(name)}
    if file := given.get(f"{PREFIX}FILE"):
        given[f"{PREFIX}FILE"] = str((root / file).resolve())
    paths = {name: str((root / getattr(settings, name)).resolve()) for name in ("repository", "state", "wheelhouse")}
    return given | {PREFIX + name.upper(): path for name, path in paths.items()}


def _secret(variable: str) -> bool:
    return variable.removeprefix(PREFIX).lower() in SECRETS


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> dict[str, object]:
    defaults, found = Settings(), dict[str, object]()
    known = {field.name for field in fields(Settings)} - {"environments"}
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name == "file" or name in SECRETS:
            continue
        text = environ[variable]
        if name not in known:
            problems.append(f"unknown setting {variable}")
        else:
            found[name] = int(text) if isinstance(getattr(defaults, name), int) and text.isdecimal() else text
    return found


def _scalars(given: Mapping[str, object], problems: list[str]) -> dict[str, object]:
    defaults = Settings()
    values: dict[str, object] = {}
    for name, value in given.items():
        if name in SECRETS:
            problems.append(f"{name} is a secret: it belongs into the environment as {PREFIX}{name.upper()}")
            continue
        default = getattr(defaults, name, None)
        if default is None or name == "environments":
            problems.append(f"unknown key {name!r}")
        elif type(value) is not type(default):
            problems.append(f"{name} = {value!r} is not {'a whole number' if isinstance(default, int) else 'text'}")
        else:
            values[name] = value
    if values.get("provider", "local") != "local":
        problems.append(f"provider = {values['provider']!r} is not known; there is 'local'")
    return values


def _environments(tables: object, problems: list[str]) -> tuple[EnvironmentSettings, ...]:
    if not isinstance(tables, dict) or not tables:
        problems.append("no [environments.NAME] table")
        return ()
    found = []
    for name, table in tables.items():
        for key in sorted(table.keys() - {"hosts", "requires", "service"}):
            problems.append(f"unknown key environments.{name}.{key}")
        hosts, requires = tuple(table.get("hosts", ())), tuple(table.get("requires", ()))
        problems += [f"environments.{name}: {reason}" for reason in (*_bad_hosts(hosts), *_bad_gates(requires, tables))]
        found.append(EnvironmentSettings(name, hosts, requires, _service(name, table.get("service", {}), problems)))
    return tuple(found)


def _service(environment: str, table: object, problems: list[str]) -> dict[str, str]:
    """The variables of a table such as `service = { sign_up = true }`; the service itself refuses what it does not know."""
    if not isinstance(table, dict):
        problems.append(f"environments.{environment}.service is no table")
        return {}
    problems += [
        f"environments.{environment}.service.{key} is no text, number, true or false"
        for key, value in table.items()
        if not isinstance(value, str | int)
    ]
    said = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in sorted(table.items())}
    return {f"SERVICE_{key.upper()}": value for key, value in said.items()}


def _bad_hosts(hosts: tuple[str, ...]) -> list[str]:
    reasons = [] if hosts else ["no hosts"]
    for host in hosts:
        try:
            if not ipaddress.ip_address(host).is_loopback:
                reasons.append(f"{host} is no loopback address, and the local provider uses no other")
        except ValueError:
            reasons.append(f"{host!r} is no IP address")
    return reasons


def _bad_gates(requires: tuple[str, ...], environments: Mapping[str, object]) -> list[str]:
    known = {"dependencies", "tests", *(f"{gate}@{name}" for gate in ("deploy", "load") for name in environments)}
    return [f"requires {gate!r}, which is no gate" for gate in requires if gate not in known]


def _bad_url(url: str) -> list[str]:
    """A password in a URL would end in logs and in `ps`."""
    parts = urlsplit(url)
    if not url or (parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc):
        return []
    return [f"jenkins_url = {parts.scheme}://{parts.hostname or ''} is no plain http or https address"]


def _clashes(environments: tuple[EnvironmentSettings, ...]) -> list[str]:
    addresses = [host for environment in environments for host in environment.hosts]
    return [f"host {address} is in two places" for address in sorted({a for a in addresses if addresses.count(a) > 1})]
