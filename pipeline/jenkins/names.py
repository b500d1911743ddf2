"""Names of jobs, which have their folders in them, and where Jenkins keeps such a job. The host in its addresses is not looked at:
behind a proxy it is not the one that was asked."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import UsageError


def full_name(name: str) -> str:
    """The name without slashes around it. Raises UsageError when it is none."""
    parts = [part for part in name.split("/") if part]
    if not parts or any(part in (".", "..") for part in parts):
        raise UsageError(f"{name!r} is no name of a job", hint="names have their folders, as in slipway/main")
    return "/".join(parts)


def job_path(name: str) -> str:
    """`slipway/main` is kept at `job/slipway/job/main`; a branch `a/b` is the job `a%2Fb`. Raises UsageError for no name."""
    return "/".join(f"job/{quote(part, safe='')}" for part in full_name(name).split("/"))


def job_of(url: str) -> str:
    """The job at an address of a job, a build or anything below; empty when there is none."""
    found = re.search(r"(?:^|/)job/[^/]+(?:/job/[^/]+)*", urlsplit(url).path)
    return "/".join(unquote(part) for part in re.split(r"(?:^|/)job/", found[0]) if part) if found else ""


def queue_item(location: str) -> int | None:
    """The number in the address of a queue item, whatever host, scheme or prefix Jenkins thinks that it has."""
    found = re.search(r"/queue/item/(\d+)(?:/|$)", urlsplit(location).path)
    return int(found[1]) if found else None
