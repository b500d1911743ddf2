"""Pictures in an S3 bucket: of unsaved runs under waiting/, where the bucket forgets them by itself, of saved ones under kept/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from service.errors import StorageUnavailable
from service.records import Pictures
from service.storage.aws.clients import asking
from service.storage.aws.table import chunks
from service.storage.protocol import Kind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WAITING, KEPT = "waiting/", "kept/"
KINDS: tuple[Kind, ...] = ("picture", "thumbnail")
_ADDRESS_SECONDS = 300
_DELETE_AT_ONCE = 1000  # S3's limit


class Bucket:
    """Pictures by the id of their run. Every method raises StorageUnavailable."""

    def __init__(self, client: S3Client, name: str) -> None:
        self.client, self.name = client, name

    def write(self, run_id: str, pictures: Pictures, *, kept: bool) -> None:
        """Put both, in place of what is there."""
        blobs: dict[Kind, tuple[bytes, str]] = {
            "picture": (pictures.picture, pictures.media_type),
            "thumbnail": (pictures.thumbnail, "image/jpeg"),
        }
        for kind, (body, media_type) in blobs.items():
            with asking():
                self.client.put_object(
                    Bucket=self.name,
                    Key=_key(run_id, kind, kept=kept),
                    Body=body,
                    ContentType=media_type,
                    ServerSideEncryption="AES256",
                )

    def keep(self, run_id: str) -> bool:
        """Copy the waiting ones to those that are kept; False if they are gone. The bucket forgets the waiting ones in its time."""
        try:
            with asking("NoSuchKey"):
                for kind in KINDS:
                    self.client.copy_object(
                        Bucket=self.name,
                        Key=_key(run_id, kind, kept=True),
                        CopySource={"Bucket": self.name, "Key": _key(run_id, kind, kept=False)},
                        ServerSideEncryption="AES256",
                    )
        except ClientError:
            return False
        return True

    def read(self, run_id: str, kind: Kind, *, kept: bool) -> bytes | None:
        try:
            with asking("NoSuchKey"):
                answer = self.client.get_object(Bucket=self.name, Key=_key(run_id, kind, kept=kept))
                with answer["Body"] as body:
                    return body.read()
        except ClientError:
            return None

    def address(self, run_id: str, kind: Kind, *, kept: bool, media_type: str) -> str:
        """A URL that gives the picture to whoever has it, for five minutes."""
        with asking():
            return self.client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.name, "Key": _key(run_id, kind, kept=kept), "ResponseContentType": media_type},
                ExpiresIn=_ADDRESS_SECONDS,
            )

    def origin(self) -> str:
        """The scheme and host of every address."""
        parts = urlsplit(self.address("any", "picture", kept=True, media_type="image/png"))
        return f"{parts.scheme}://{parts.netloc}"

    def remove(self, run_ids: Iterable[str]) -> None:
        """Delete what there is of the runs, waiting and kept."""
        keys = (_key(run_id, kind, kept=kept) for run_id in run_ids for kind in KINDS for kept in (False, True))
        for some in chunks(keys, _DELETE_AT_ONCE):
            with asking():
                answer = self.client.delete_objects(
                    Bucket=self.name, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
                )
            if answer.get("Errors"):
                raise StorageUnavailable(
                    f"S3 does not delete {answer['Errors'][0].get('Key')}: {answer['Errors'][0].get('Message')}"
                )

    def kept(self) -> Iterator[tuple[str, str]]:
        """Run id and kind of every picture that is kept."""
        with asking():
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=KEPT):
                for found in page.get("Contents", ()):
                    run_id, _, kind = found["Key"].removeprefix(KEPT).rpartition("/")
                    yield run_id, kind


def _key(run_id: str, kind: Kind, *, kept: bool) -> str:
    return f"{KEPT if kept else WAITING}{run_id}/{kind}"
