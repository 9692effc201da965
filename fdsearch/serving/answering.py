"""From the bytes a client sent to what it is told: decode, wait, run, tell, by one version from beginning to end.

`service` puts HTTP around it. Pictures are decoded in a few threads, whose number bounds the memory that
large ones take.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsearch import imaging
from fdsearch.errors import FdsearchError
from fdsearch.progress import Progress
from fdsearch.resizing import field_of_view
from fdsearch.serving.batching import Admission, Batcher
from fdsearch.serving.explaining import evidence, hidden
from fdsearch.serving.following import Follower
from fdsearch.serving.observing import Observer
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.reading import Sent
from fdsearch.serving.refusing import Refusal
from fdsearch.serving.runtimes import Answer

EXPLANATIONS = 2
"""Most pictures that are explained at the same time; each asks the model a hundred times and more."""

_PATIENT_BATCH = 4
_PREVIEW = 800

T = TypeVar("T")
Gray = NDArray[np.uint8]


class Answering:
    """What a service knows and does, apart from HTTP.

    Parameters
    ----------
    follower : Follower
    max_requests : int
        Requests that are answered or wait at the same time.
    progress : Progress
        Is told what a client is not: why the model could not answer.
    """

    def __init__(self, follower: Follower, max_requests: int, progress: Progress) -> None:
        self.follower, self.observer = follower, Observer()
        self.door, self.explanations = Admission(max_requests), Admission(EXPLANATIONS)
        self._progress = progress
        self._batcher = Batcher(self.observer.ran)
        self._decoders = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "decoding")

    @property
    def ready(self) -> bool:
        """Whether the model would run what is sent."""
        return self._batcher.alive

    def close(self) -> None:
        """Answer nothing more."""
        self.follower.close()
        self._batcher.close()
        self._decoders.shutdown(cancel_futures=True)

    async def predict(self, sent: Sent) -> dict[str, Any]:
        """Label, probabilities and decision for each picture.

        Raises
        ------
        Refusal
            422 naming every picture that cannot be decoded; none is then predicted. 500 where the model fails.
        """
        predictor = self.follower.current
        decoded = await asyncio.gather(
            *(self._decode(predictor.decode, content) for content in sent.contents), return_exceptions=True
        )
        pictures = _whole(sent.names, decoded)
        told = predictor.tell(sent.names, await self._run(predictor, np.stack(pictures)), sent.groups)
        rule, version = predictor.contract.decision, predictor.version
        groups = None if rule is not None and rule.unit == "picture" else sent.groups
        self.observer.decided(version.name, version.version, told, groups)
        return {"model": identity(predictor), "predictions": [each.to_json() for each in told]}

    async def explain(self, sent: Sent) -> dict[str, Any]:
        """What is predicted for the first picture, and where in it the model sees a defect; raises as `predict`."""
        predictor = self.follower.current
        [gray] = _whole(sent.names[:1], await asyncio.gather(self._gray(sent.contents[0]), return_exceptions=True))
        square = await self._decode(predictor.decode, gray)
        answer = await self._run(predictor, square[np.newaxis])
        [told] = predictor.tell(sent.names[:1], answer)
        asked: Iterator[Gray] = hidden(square, _PATIENT_BATCH)
        after = []
        while (batch := await self._decode(lambda: next(asked, None))) is not None:
            after.append((await self._run(predictor, batch, patient=True)).probabilities)
        found = evidence(
            answer.probabilities[0],
            np.concatenate(after),
            predictor.contract.classes.index(told.label),
            predictor.contract,
        )
        return {
            "model": identity(predictor),
            "prediction": told.to_json(),
            "evidence": {**vars(found), "cells": found.cells.round(4).tolist()},
            "picture": await self._decode(_preview, gray),
            "covers": _covers(gray, predictor.contract.input.resize),
        }

    async def _decode(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *arguments)

    async def _gray(self, content: bytes) -> Gray:
        return (await self._decode(imaging.decode, content)).pixels

    async def _run(self, predictor: Predictor, pictures: Gray, *, patient: bool = False) -> Answer:
        try:
            return await asyncio.wrap_future(self._batcher.submit(predictor, pictures, patient=patient))
        except (FdsearchError, MemoryError, RuntimeError) as error:  # what runtimes raise; the paths in it stay here
            self._progress.say(f"{predictor.version.reference} cannot answer: {error}")
            raise Refusal(500, f"{predictor.version.reference} cannot answer; the service's log says why") from error


def identity(predictor: Predictor) -> dict[str, Any]:
    """Which version answers: ``name``, ``version``, ``format``."""
    version = predictor.version
    return {"name": version.name, "version": version.version, "format": predictor.runtime.format}


def _whole(names: Sequence[str], decoded: Sequence[Gray | BaseException]) -> list[Gray]:
    """The decoded pictures, or a refusal with the fault of every other one."""
    faults, pictures = [], []
    for name, each in zip(names, decoded, strict=True):
        if isinstance(each, imaging.PictureError):
            faults.append(each.fault(name))
        elif isinstance(each, BaseException):
            raise each
        else:
            pictures.append(each)
    if faults:
        raise Refusal(422, "not all the pictures can be read; none was predicted", faults)
    return pictures


def _preview(gray: Gray) -> dict[str, Any]:
    """The picture as the model's decoder saw it, for a page: browsers show no TIFF, and turn pictures their own way."""
    image = Image.fromarray(gray)
    image.thumbnail((_PREVIEW, _PREVIEW))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    png = base64.b64encode(stream.getvalue()).decode("ascii")
    return {"png": png, "width": gray.shape[1], "height": gray.shape[0]}


def _covers(gray: Gray, policy: str) -> list[float]:
    """Where the map lies: left, top, right, bottom, as shares of the picture's width and height."""
    height, width = gray.shape
    left, top, right, bottom = field_of_view(width, height, policy)
    return [left / width, top / height, right / width, bottom / height]
