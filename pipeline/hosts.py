"""Asking deployed services over HTTP, as their users do."""

from __future__ import annotations

from pathlib import Path

import httpx2

from pipeline.errors import PipelineError

SECONDS = 10.0


class HttpHosts:
    """Plain requests, each with a time limit."""

    def version(self, url: str) -> dict[str, object]:
        return self._json("GET", f"{url}/version")

    def predict(self, url: str, picture: Path) -> dict[str, object]:
        with picture.open("rb") as file:
            return self._json("POST", f"{url}/v1/predictions", files={"image": (picture.name, file)})

    def _json(self, method: str, url: str, **options: object) -> dict[str, object]:
        try:
            reply = httpx2.request(method, url, timeout=SECONDS, **options)  # type: ignore[arg-type]
            document = reply.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise PipelineError(f"{url} does not answer: {error or type(error).__name__}") from error
        if not isinstance(document, dict) or reply.status_code != 200:
            detail = document.get("detail", "") if isinstance(document, dict) else ""
            raise PipelineError(f"{url} answers {reply.status_code}: {detail}")
        return document
