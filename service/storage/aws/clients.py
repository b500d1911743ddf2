"""The clients for AWS, and what its errors mean to us. Where it is, and who we are, boto3 finds out from the AWS_* environment."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader
from botocore.session import get_session

from service.errors import ConfigError, ServiceError, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_DESCRIPTIONS = create_loader()  # of AWS's services: reading them is most of what opening a store costs
_RETRIES = {"mode": "standard", "total_max_attempts": 3}
_TABLE = Config(connect_timeout=2, read_timeout=5, retries=_RETRIES, max_pool_connections=32)  # type: ignore[arg-type]
_BUCKET = _TABLE.merge(Config(read_timeout=15, signature_version="s3v4"))
# Mistakes of ours, which asking again does not mend.
_DEFECTS = {"ValidationException", "SerializationException", "ParamValidationError"}
_ATTEMPTS, _FIRST_PAUSE, _LONGEST_PAUSE = 12, 0.02, 1.0  # seconds


class Patience:
    """The pauses between the attempts at something that others are changing too."""

    def __init__(self) -> None:
        self._attempts = 0

    def wait(self) -> None:
        """Sleep for a random while, longer each time. Raises StorageUnavailable when it has been often enough."""
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            raise StorageUnavailable("too many changes of the same thing at once")
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._attempts)
        time.sleep(random.uniform(0, longest))  # noqa: S311


def open_clients() -> tuple[DynamoDBClient, S3Client]:
    """Raises ConfigError where the environment names no region."""
    with asking(raises=ConfigError):
        core = get_session()
        core.register_component("data_loader", _DESCRIPTIONS)
        # The other SDKs and AWS's own machines say AWS_REGION, boto3 alone AWS_DEFAULT_REGION, which it falls back to.
        session = Session(botocore_session=core, region_name=os.environ.get("AWS_REGION"))
        endpoint = session.client("s3").meta.endpoint_url
        # Left to itself boto3 signs addresses for s3.amazonaws.com, which sends browsers astray while a bucket elsewhere is new.
        return session.client("dynamodb", config=_TABLE), session.client("s3", endpoint_url=endpoint, config=_BUCKET)


@contextmanager
def asking(*expected: str, raises: type[ServiceError] = StorageUnavailable) -> Iterator[None]:
    """Make an error of AWS one of ours. The codes in `expected` stay ClientErrors, for the caller to handle."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        code = code_of(error)
        if code in expected or (raises is StorageUnavailable and code in _DEFECTS):
            raise
        # Users see the second; what AWS says names accounts and keys.
        text = f"AWS does not answer as it should: {error}" if raises is ConfigError else f"the store does not answer ({code})"
        raise raises(text) from error


def code_of(error: BotoCoreError | ClientError) -> str:
    """Such as "NoSuchKey", for answers without a body the HTTP status; where AWS was not reached the name of boto3's error."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else type(error).__name__
