"""Show a picture to the service, keep the answer, and list what was kept: an example in plain Python, without packages.

python client.py http://127.0.0.1:8000 picture.jpg              what is in the picture?
SLIPWAY_TOKEN=… python client.py http://127.0.0.1:8000 picture.jpg --save "my cup"
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

ATTEMPTS = 5


def call(method: str, url: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
    """One request; what is refused for now is asked again when the service says so."""
    if token := os.environ.get("SLIPWAY_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    for attempt in range(1, ATTEMPTS + 1):
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                document: dict[str, Any] = json.load(answer)
                return document
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            if "Retry-After" not in error.headers or attempt == ATTEMPTS:
                sys.exit(f"{problem['code']}: {problem['detail']} (request {problem['request_id']})")
            time.sleep(min(int(error.headers["Retry-After"]), 30))
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--save", metavar="NOTE")
    given = parser.parse_args()
    seen = call(
        "POST", f"{given.address}/v1/predictions", given.picture.read_bytes(), **{"Content-Type": "application/octet-stream"}
    )
    for score in seen["predictions"]:
        print(f"{score['probability']:7.1%}  {score['label']}")
    if given.save is not None:
        # The key makes it safe to send again when an answer is lost: the run is kept once.
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        run = call(
            "POST", f"{given.address}/v1/runs", json.dumps({"prediction": seen["id"], "note": given.save}).encode(), **headers
        )
        print(f"saved as {run['id']}; you have saved:")
        for run in call("GET", f"{given.address}/v1/runs?limit=10")["runs"]:
            print(f"  {run['made_at'][:16]}  {run['predictions'][0]['label']}  {run['note']}")


if __name__ == "__main__":
    main()
