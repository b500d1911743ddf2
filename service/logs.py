"""Logs as JSON lines: each has the release and the model, and the id of the request in whose course it was written.

What comes from people is never logged: no body, no query, no header, no name; a request is logged by its route, not by its path.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
FIELDS = "fields"  # of a record's `extra`: more keys for its line


class JsonLines(logging.Formatter):
    """One object a line; `identity` is in all of them."""

    def __init__(self, identity: dict[str, str]) -> None:
        super().__init__()
        self._identity = identity

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._identity,
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line.update(getattr(record, FIELDS, {}))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(identity: dict[str, str]) -> None:
    """Send every log of the process to standard error, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(identity))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in ("botocore", "boto3", "urllib3"):  # they log requests with headers
        logging.getLogger(name).setLevel(logging.WARNING)
