"""Which store the settings name, opened; the one place that knows all kinds."""

from __future__ import annotations

from service.settings import Settings
from service.storage.protocol import Storage


def open_storage(settings: Settings) -> Storage:
    """Raises ConfigError when the store cannot be used."""
    if settings.storage == "aws":
        from service.storage.aws import AwsStorage  # noqa: PLC0415  boto3 takes half a second that others need not wait

        return AwsStorage(settings.table, settings.bucket)
    from service.storage.sqlite import SqliteStorage  # noqa: PLC0415

    return SqliteStorage(settings.database)


def create_storage(settings: Settings) -> None:
    """Make what has to be there before the store is opened; what is there stays. Raises ConfigError."""
    if settings.storage == "aws":
        from service.storage.aws import create  # noqa: PLC0415

        create(settings.table, settings.bucket)
    else:
        open_storage(settings).close()
