"""What the service says of itself, to proxies, deploys, monitors and client authors."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service import errors
from service.web.endpoints import Endpoint
from service.web.tools import tools


async def live(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> Response:
    """200 once the model is loaded and warmed, 503 before."""
    if not tools(request).recogniser.ready:
        raise errors.ModelUnavailable("the model is still being loaded", retry_after=2)
    return JSONResponse({"ready": True})


async def version(request: Request) -> Response:
    """What runs here: release, commit, image, lock and model."""
    identity = asdict(tools(request).identity)
    model = {"name": identity.pop("model"), "sha256": identity.pop("model_sha256")}
    return JSONResponse({**identity, "model": model})


async def metrics(request: Request) -> Response:
    """Requests, queue wait, batch size, inference time, model and release, for Prometheus."""
    found = tools(request).metrics
    return Response(found.text(), headers={"Content-Type": found.content_type})


async def openapi(request: Request) -> Response:
    """This API as an OpenAPI 3.1 document; /api is the same for people."""
    return JSONResponse(request.app.state.openapi)


ENDPOINTS = (
    Endpoint("GET", "/livez", live, "Whether the process answers", tag="Service", answer="Live"),
    Endpoint(
        "GET", "/readyz", ready, "Whether the model is ready", tag="Service", answer="Ready", errors=(errors.ModelUnavailable,)
    ),
    Endpoint(
        "GET", "/ping", ready, "Whether the model is ready, as SageMaker asks", answer="Ready", errors=(errors.ModelUnavailable,)
    ),
    Endpoint("GET", "/version", version, "What runs here", tag="Service", answer="Version"),
    Endpoint("GET", "/metrics", metrics, "Numbers for Prometheus", tag="Service", media_type="text/plain"),
    Endpoint("GET", "/openapi.json", openapi, "This description", tag="Service", answer="Document"),
)
