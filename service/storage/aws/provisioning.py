"""The table and the bucket themselves: whether they are there, and making them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from service.errors import ConfigError
from service.storage.aws.bucket import WAITING
from service.storage.aws.clients import asking, code_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType

_HINT = "make it with `python -m service storage init`"
_RECOVERY_ATTEMPTS, _RECOVERY_PAUSE = 30, 2.0  # seconds: a new table takes a while to accept it


def check(dynamodb: DynamoDBClient, s3: S3Client, table: str, bucket: str) -> None:
    """Raises ConfigError when one of them is not there, or AWS does not answer."""
    try:
        with asking("ResourceNotFoundException", raises=ConfigError):
            dynamodb.describe_table(TableName=table)
    except ClientError as error:
        raise ConfigError(f"there is no table {table!r}: {_HINT}") from error
    try:
        with asking("404", raises=ConfigError):
            s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        raise ConfigError(f"there is no bucket {bucket!r}: {_HINT}") from error


def make_table(client: DynamoDBClient, name: str) -> None:
    """Billed by request, forgetting by `expires`, restorable to any second of the last 35 days. What is so already stays."""
    with suppress(ClientError), asking("ResourceInUseException", raises=ConfigError):
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": part, "AttributeType": "S"} for part in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )
    with asking(raises=ConfigError):
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
        ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if ttl.get("TimeToLiveStatus", "DISABLED") == "DISABLED":
            client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    for _ in range(_RECOVERY_ATTEMPTS):
        try:
            with asking("ContinuousBackupsUnavailableException", "UnknownOperationException", raises=ConfigError):
                client.update_continuous_backups(
                    TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
                )
        except ClientError as error:
            if code_of(error) == "UnknownOperationException":  # of a DynamoDB that is not AWS's own
                return
            time.sleep(_RECOVERY_PAUSE)
        else:
            return
    raise ConfigError(f"the table {name!r} is made, but cannot be backed up yet: ask again in a minute")


def make_bucket(client: S3Client, name: str) -> None:
    """Encrypted, closed to the public, without versions, forgetting what waits after a day. What is so already stays."""
    region = client.meta.region_name
    with suppress(ClientError), asking("BucketAlreadyOwnedByYou", raises=ConfigError):
        if region == "us-east-1":  # which is no location constraint
            client.create_bucket(Bucket=name)
        else:
            location: BucketLocationConstraintType = region  # type: ignore[assignment]
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": location})
    with asking(raises=ConfigError):
        client.get_waiter("bucket_exists").wait(Bucket=name)
        client.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
        )
        client.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True,
            },
        )  # fmt: skip
        client.put_bucket_lifecycle_configuration(
            Bucket=name,
            LifecycleConfiguration={
                "Rules": [{"ID": "waiting", "Status": "Enabled", "Filter": {"Prefix": WAITING}, "Expiration": {"Days": 1}}]
            },
        )
        if client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled":  # deleted pictures would stay
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
