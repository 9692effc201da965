"""The HTTP service: pictures in, decisions out, each answer by one version that it names.

`guarding` lets a request in, `reading` reads it, `answering` answers it, `refusing` says no, `observing` counts.
"""

# Without `from __future__ import annotations`: FastAPI reads the annotations of the endpoints, and they name what is
# imported inside the functions.

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fdsearch import imaging
from fdsearch.serving.answering import Answering, identity
from fdsearch.serving.batching import Closed, Full
from fdsearch.serving.guarding import Guard
from fdsearch.serving.observing import Timed
from fdsearch.serving.reading import GROUPS, MAX_PICTURES, Sent, read_pictures
from fdsearch.serving.refusing import Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
PATHS = frozenset({*PAGE, "/predict", "/explain", "/model", "/healthz", "/readyz", "/metrics", "/openapi.json"})

Answer = Callable[[Sent], Awaitable[dict[str, Any]]]

_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "pictures": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    GROUPS: {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "The part of each picture; its worst picture decides.",
                    },
                },
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}


def application(answering: Answering, token: str | None, max_bytes: int) -> "FastAPI":
    """Build the ASGI application.

    Parameters
    ----------
    answering : Answering
    token : str or None
        As in `Guard`.
    max_bytes : int
        Of one request's body.
    """
    import python_multipart  # noqa: F401  (found missing now, not at the first form)
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException

    # The two pages of documentation that FastAPI offers would be loaded from elsewhere.
    app = FastAPI(title="fdsearch", docs_url=None, redoc_url=None)
    refusals: dict[type[Exception], Callable[[Any], Refusal]] = {
        Refusal: lambda refusal: refusal,
        Full: lambda _: Refusal(429, "the service is busy", headers={"Retry-After": "1"}),
        Closed: lambda _: Refusal(503, "the service is ending"),
        HTTPException: lambda error: Refusal(error.status_code, str(error.detail), headers=error.headers),
        Exception: lambda _: Refusal(500, "a defect of the service; its log says more"),
    }
    for kind, refusal in refusals.items():
        app.add_exception_handler(kind, _handler(refusal))
    _add_answers(app, answering, max_bytes)
    _add_questions(app, answering, max_bytes)
    _add_page(app)
    app.add_middleware(Guard, token=token)
    app.add_middleware(Timed, observer=answering.observer, paths=PATHS)
    return app


def _handler(refusal: Callable[[Any], Refusal]) -> "Callable[[Request, Exception], Response]":
    def handle(request: "Request", error: Exception) -> "Response":
        return refusal(error).response()

    return handle


def _add_answers(app: "FastAPI", answering: Answering, max_bytes: int) -> None:
    from fastapi import Request

    @app.post("/predict", openapi_extra={"requestBody": _BODY})
    async def predict(request: Request) -> dict[str, Any]:
        """Label, calibrated probabilities and decision of each picture: one as the body, or several as a form."""
        with answering.door.enter():
            return await answering.predict(await read_pictures(request, max_bytes))

    @app.post("/explain", openapi_extra={"requestBody": _BODY})
    async def explain(request: Request) -> dict[str, Any]:
        """As `predict` for one picture, and where in it the model sees a defect; it takes a second or more."""
        with answering.explanations.enter():
            return await answering.explain(await read_pictures(request, max_bytes))


def _add_questions(app: "FastAPI", answering: Answering, max_bytes: int) -> None:
    from starlette.responses import Response

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Which version answers now, its classes and decision rule, and the limits of a request."""
        follower = answering.follower
        contract = follower.current.contract.model_dump(
            mode="json", include={"classes", "pass_classes", "decision", "decision_why", "input"}
        )
        limits = {
            "requests": answering.door.most,
            "pictures": MAX_PICTURES,
            "bytes": max_bytes,
            "pixels": imaging.MAX_PIXELS,
        }
        following = {key: getattr(follower, key) for key in ("reference", "follows", "switches", "problem")}
        return {"model": identity(follower.current), **contract, "following": following, "limits": limits}

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether the process answers."""
        return {"alive": True}

    @app.get("/readyz")
    async def readyz() -> dict[str, Any]:
        """Whether pictures would be answered; 503 where not."""
        if not answering.ready:
            raise Closed
        return {"ready": True}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Latency, decisions by class, review rate and more, in Prometheus' text format."""
        answering.observer.standing(answering.follower, answering.door.inside)
        return Response(answering.observer.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: "FastAPI") -> None:
    folder = files("fdsearch.serving") / "page"
    for path, (name, kind) in PAGE.items():
        app.add_route(path, _constant((folder / name).read_bytes(), kind), methods=["GET"])


def _constant(content: bytes, kind: str) -> "Callable[[Request], Awaitable[Response]]":
    from starlette.responses import Response

    async def answer(request: "Request") -> Response:
        return Response(content, media_type=kind)

    return answer
