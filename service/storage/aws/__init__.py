"""The store on AWS: a DynamoDB table of everything but pictures, and an S3 bucket of those. An endpoint is all a test changes."""

from __future__ import annotations

from service.storage.aws import provisioning
from service.storage.aws.bucket import Bucket
from service.storage.aws.claims import AwsClaims
from service.storage.aws.clients import open_clients
from service.storage.aws.runs import AwsRuns
from service.storage.aws.table import Table
from service.storage.aws.upkeep import AwsUpkeep
from service.storage.aws.users import AwsUsers

__all__ = ["AwsStorage", "create"]


class AwsStorage(AwsUsers, AwsRuns, AwsClaims, AwsUpkeep):
    """Every change is one transaction; where it takes more, the first says so and the rest can be done again."""

    def __init__(self, table: str, bucket: str) -> None:
        """Raises ConfigError when one of them is not there, or AWS does not answer."""
        self._dynamodb, self._s3 = open_clients()
        try:
            provisioning.check(self._dynamodb, self._s3, table, bucket)
        except BaseException:
            self.close()
            raise
        self._table, self._bucket = Table(self._dynamodb, table), Bucket(self._s3, bucket)

    def close(self) -> None:
        self._dynamodb.close()
        self._s3.close()


def create(table: str, bucket: str) -> None:
    """Make both, or what is missing of them. Raises ConfigError."""
    dynamodb, s3 = open_clients()
    try:
        provisioning.make_table(dynamodb, table)
        provisioning.make_bucket(s3, bucket)
    finally:
        dynamodb.close()
        s3.close()
