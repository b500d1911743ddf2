"""The records as the API shows them. The keys are a promise; schemas.py describes them."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request

from service.dashboard import Dashboard, Summary
from service.records import ApiToken, Run, User
from service.web.recognition import Recognised
from service.web.tools import tools


def prediction(request: Request, answer: Recognised, waiting: Run | None) -> dict[str, object]:
    """An answer; `id` is what a signed-in user saves it by."""
    identity = tools(request).identity
    return {
        "predictions": [asdict(score) for score in answer.scores],
        "id": waiting.id if waiting else None,
        "model": {"name": identity.model, "sha256": identity.model_sha256},
        "release": identity.release,
        "milliseconds": round(answer.milliseconds, 1),
        "request_id": request.scope["request_id"],
    }


def run(run: Run) -> dict[str, object]:
    """A saved run."""
    return {
        "id": run.id,
        "made_at": run.made_at.isoformat(),
        "saved_at": run.saved_at.isoformat() if run.saved_at else None,
        "predictions": [asdict(score) for score in run.scores],
        "truth": run.truth or None,
        "note": run.note,
        "release": run.release,
        "model": run.model,
        "milliseconds": round(run.milliseconds, 1),
        "picture": {
            "url": f"/v1/runs/{run.id}/picture",
            "thumbnail": f"/v1/runs/{run.id}/thumbnail",
            "media_type": run.media_type,
            "width": run.width,
            "height": run.height,
            "bytes": run.size,
        },
    }


def user(user: User) -> dict[str, object]:
    """An account."""
    return {
        "id": user.id,
        "name": user.name,
        "role": str(user.role),
        "disabled": user.disabled,
        "created_at": user.created_at.isoformat(),
    }


def token(token: ApiToken) -> dict[str, object]:
    """An API token, without its secret, which nobody keeps."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": [str(scope) for scope in token.scopes],
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }


def dashboard(dashboard: Dashboard) -> dict[str, object]:
    """Everything that the dashboard's charts are drawn from."""
    return {
        "days": [day.isoformat() for day in dashboard.days],
        "total": _summary(dashboard.total),
        "releases": [_summary(summary) for summary in dashboard.releases],
        "series": [{"release": release, "predictions": list(numbers)} for release, numbers in dashboard.series],
        "labels": [{"label": label, "predictions": number} for label, number in dashboard.labels],
        "confusion": {"labels": list(dashboard.confusion.labels), "counts": [list(row) for row in dashboard.confusion.counts]},
    }


def _summary(summary: Summary) -> dict[str, object]:
    return {
        "release": summary.release,
        "model": summary.model,
        "first": summary.first.isoformat(),
        "last": summary.last.isoformat(),
        "predictions": summary.predictions,
        "saved": summary.saved,
        "judged": summary.judged,
        "top1": summary.top1,
        "top5": summary.top5,
        "milliseconds": {"p50": summary.p50, "p95": summary.p95, "p99": summary.p99},
        "confidence": list(summary.confidence),
    }
