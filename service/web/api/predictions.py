"""Pictures in, labels out: one, several at once, and as SageMaker asks for it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service import errors
from service.errors import ServiceError
from service.records import Scope
from service.web import documents
from service.web.endpoints import Access, Endpoint
from service.web.errors import problem_of
from service.web.forms import read_picture, read_pictures
from service.web.recognition import Recognised, recognise, recognise_all, remember, take_share
from service.web.tools import tools

PREDICT = Access(None, Scope.PREDICT)
BAD_PICTURE = (
    errors.BadImage, errors.EmptyImage, errors.TruncatedImage, errors.TooManyPixels, errors.TooNarrow, errors.DecodingTooSlow,
    errors.DecodingTooLarge, errors.BodyTooLarge, errors.ImageMissing, errors.TooManyImages, errors.MalformedRequest,
)  # fmt: skip
NOT_NOW = (errors.Busy, errors.Overloaded, errors.RateExceeded, errors.ModelUnavailable, errors.StorageUnavailable)


async def predict(request: Request) -> Response:
    """The five most probable labels of a picture. For a signed-in user the answer waits to be saved: `id` is for POST /v1/runs."""
    owner = await take_share(request, 1)
    answer = await recognise(request, await read_picture(request), keep=owner is not None)
    waiting = await remember(request, owner, answer) if owner else None
    return JSONResponse(documents.prediction(request, answer, waiting))


async def predict_batch(request: Request) -> Response:
    """The answers to several pictures, in order. One that cannot be read has a problem instead; the others are answered."""
    pictures = await read_pictures(request, most=tools(request).settings.max_images)
    owner = await take_share(request, len(pictures))
    answers = await recognise_all(request, pictures, keep=owner is not None)
    results = [await _result(request, owner, answer) for answer in answers]
    return JSONResponse({"results": results, "request_id": request.scope["request_id"]})


async def _result(request: Request, owner: str | None, answer: Recognised | Exception) -> dict[str, object]:
    if isinstance(answer, ServiceError):
        return {"prediction": None, "problem": problem_of(request, answer)}
    if isinstance(answer, Exception):
        raise answer
    waiting = await remember(request, owner, answer) if owner else None
    return {"prediction": documents.prediction(request, answer, waiting), "problem": None}


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/predictions",
        predict,
        "Recognise one picture",
        PREDICT,
        "Predictions",
        answer="Prediction",
        picture="one",
        errors=(*BAD_PICTURE, *NOT_NOW),
        example="-F image=@loadtests/images/coffee.jpg",
    ),
    Endpoint(
        "POST",
        "/v1/predictions/batch",
        predict_batch,
        "Recognise several pictures; each succeeds or fails by itself",
        PREDICT,
        "Predictions",
        answer="Batch",
        picture="many",
        errors=(*BAD_PICTURE, *NOT_NOW),
        example="-F image=@loadtests/images/coffee.jpg -F image=@loadtests/images/cat.jpg",
    ),
    Endpoint(
        "POST",
        "/invocations",
        predict,
        "Recognise one picture, as SageMaker asks for it",
        PREDICT,
        "Predictions",
        answer="Prediction",
        picture="one",
        errors=(*BAD_PICTURE, *NOT_NOW),
        example="-H 'Content-Type: image/jpeg' --data-binary @loadtests/images/cat.jpg",
    ),
)
