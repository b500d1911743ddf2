"""The service's settings: read once from the environment, all checked together, unknown names refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from service.errors import ConfigError

PREFIX = "SERVICE_"
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the environment variable `SERVICE_<NAME>`; sizes are in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    database: str = "var/service.db"
    model: str = "efficientnet_lite0"
    threads: int = 1
    queue: int = 64
    max_upload_bytes: int = 10_000_000
    session_seconds: int = 14 * 24 * 3600
    unsaved_seconds: int = 3600
    secure_cookies: bool = False
    release: str = "unreleased"
    commit: str = "unknown"
    image: str = "none"
    lock: str = "unknown"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings in `environ`. Raises ConfigError that names every problem at once."""
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        problems = [f"unknown setting {name}" for name in sorted(given.keys() - known.keys())]
        values: dict[str, str | int | bool] = {}
        for name in sorted(given.keys() & known.keys()):
            try:
                values[known[name].name] = _parse(str(known[name].type), given[name])
            except ValueError as error:
                problems.append(f"{name}={given[name]!r} {error}")
        if isinstance(port := values.get("port"), int) and port > LAST_PORT:
            problems.append(f"{PREFIX}PORT={port} is no port")
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(**values)  # type: ignore[arg-type]


def _parse(kind: str, text: str) -> str | int | bool:
    if kind == "bool":
        if text not in ("true", "false"):
            raise ValueError("is neither true nor false")
        return text == "true"
    if kind == "int":
        if not text.isdigit() or int(text) == 0:
            raise ValueError("is not a whole number above 0")
        return int(text)
    return text
