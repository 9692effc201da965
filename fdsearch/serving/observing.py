"""What the service counts and times, for Prometheus: requests, batches, labels, decisions, and which version answers.

The numbers live in a registry of their own per service, so two services in one process do not mix. `service` tells it
what was decided, `batching` what was run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fdsearch.serving.following import Follower
from fdsearch.serving.predictor import Prediction

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

RECENT = 1000
"""The review rate is that of so many parts before."""

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Observer:
    """Counters of one service.

    Examples
    --------
    >>> observer = Observer()
    >>> observer.ran(3, 0.001, 0.02)
    >>> b"fdsearch_batch_pictures_sum 3.0" in observer.exposition()
    True
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory and processor time, where the system tells them
        self._requests = Histogram(
            "fdsearch_request_seconds", "Time to answer.", ["path", "status"], buckets=_BUCKETS, registry=registry
        )
        self._batch = Histogram(
            "fdsearch_batch_pictures", "Pictures run at once.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self._wait = Histogram(
            "fdsearch_wait_seconds", "Time in the line before the model.", buckets=_BUCKETS, registry=registry
        )
        self._run = Histogram("fdsearch_model_seconds", "Time the model runs.", buckets=_BUCKETS, registry=registry)
        which = ["model", "version"]
        self._pictures = Counter(
            "fdsearch_pictures", "Pictures told apart.", [*which, "label", "decision"], registry=registry
        )
        self._parts = Counter("fdsearch_parts", "Parts decided about.", [*which, "decision"], registry=registry)
        self._review_rate = Gauge(
            "fdsearch_review_rate", f"Share of the last {RECENT} parts that a person decides.", registry=registry
        )
        self._model = Gauge("fdsearch_model_info", "1 for what answers now.", [*which, "format"], registry=registry)
        self._switches = Gauge("fdsearch_switches", "How often another version took over.", registry=registry)
        self._following = Gauge(
            "fdsearch_following", "0 while the version that should answer cannot be loaded.", registry=registry
        )
        self._inside = Gauge("fdsearch_requests_inside", "Requests being answered or waiting.", registry=registry)
        self._reviews: deque[bool] = deque(maxlen=RECENT)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request got its answer."""
        self._requests.labels(path, str(status)).observe(seconds)

    def ran(self, pictures: int, waited: float, seconds: float) -> None:
        """The model ran a batch."""
        self._batch.observe(pictures)
        self._wait.observe(waited)
        self._run.observe(seconds)

    def decided(self, model: str, version: int, told: Sequence[Prediction], groups: Sequence[str] | None) -> None:
        """Pictures were told apart; `groups` names the part of each, where parts are decided about."""
        for each in told:
            self._pictures.labels(model, str(version), each.label, each.decision).inc()
        decisions = [each.decision for each in told]
        for decision in decisions if groups is None else dict(zip(groups, decisions, strict=True)).values():
            self._parts.labels(model, str(version), decision).inc()
            self._reviews.append(decision == "review")

    def standing(self, follower: Follower, inside: int) -> None:
        """Note what answers now, before it is read."""
        version, format = follower.current.version, follower.current.runtime.format
        self._model.clear()
        self._model.labels(version.name, str(version.version), format).set(1)
        self._switches.set(follower.switches)
        self._following.set(follower.problem is None)
        self._inside.set(inside)
        self._review_rate.set(sum(self._reviews) / len(self._reviews) if self._reviews else float("nan"))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


class Timed:
    """Times each request from its headers to the end of its answer.

    Parameters
    ----------
    app : ASGI application
    observer : Observer
    paths : collection of str
        Paths that are counted by name; whatever else somebody asks for is ``other``.
    """

    def __init__(self, app: ASGIApp, observer: Observer, paths: frozenset[str]) -> None:
        self._app, self._observer, self._paths = app, observer, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._observer.answered(path, status, time.perf_counter() - started)
