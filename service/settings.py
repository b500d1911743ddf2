"""The service's settings: read once from the environment, all checked together, unknown names refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from service.errors import ConfigError

PREFIX = "SERVICE_"
LAST_PORT = 65535
DAY = 24 * 3600
STORES = ("sqlite", "aws")


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the environment variable `SERVICE_<NAME>`; sizes are in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8000
    trusted_proxies: str = "127.0.0.1"
    storage: str = "sqlite"
    database: str = "var/service.db"
    table: str = "slipway-service"
    bucket: str = "slipway-service"
    model: str = "efficientnet_lite0"
    threads: int = 1
    batch: int = 8
    queue: int = 64
    queue_seconds: int = 20
    decoders: int = 2
    decode_seconds: int = 5
    decode_bytes: int = 1_000_000_000
    max_upload_bytes: int = 10_000_000
    max_images: int = 16
    session_seconds: int = 14 * 24 * 3600
    unsaved_seconds: int = 3600
    secure_cookies: bool = False
    sign_up: bool = False
    guests: bool = True
    predictions_per_minute: int = 1200
    guest_predictions_per_minute: int = 120
    sign_ups_per_minute: int = 60
    saves_per_day: int = 10_000
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
        if values.get("storage", "sqlite") not in STORES:
            problems.append(f"{PREFIX}STORAGE={values['storage']!r} is none of {', '.join(STORES)}")
        if values.get("storage") == "aws" and int(values.get("unsaved_seconds", 0)) >= DAY:
            problems.append(f"{PREFIX}UNSAVED_SECONDS has to be less than a day on AWS, whose bucket forgets unsaved pictures then")
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
