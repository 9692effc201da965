"""The service over HTTP: what it answers, what it refuses, and that each answer is one version's."""

from __future__ import annotations

import io
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from running import Running, form

from fdsearch.errors import ConfigError
from fdsearch.progress import Silent
from fdsearch.registry.version import ModelVersion
from fdsearch.serving import reading
from fdsearch.serving.explaining import CELLS
from fdsearch.serving.following import Follower
from fdsearch.serving.guarding import read_token
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.reading import MAX_PICTURES
from fdsearch.serving.runtimes import Answer

TOKEN = "a-token-of-some-length"


@pytest.fixture
def follower(register: Callable[..., ModelVersion], tmp_path: Path) -> Follower:
    register()
    return Follower("tiles:1", tmp_path / "registry", None, Silent())


@pytest.fixture
def service(follower: Follower) -> Iterator[Running]:
    with Running(follower) as running:
        yield running


def png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(min(width + 1, 10_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def told(reply: Any) -> list[tuple[str, str, dict[str, float]]]:
    return [(each["label"], each["decision"], each["probabilities"]) for each in reply.json()["predictions"]]


def test_a_form_and_a_bare_body_are_answered_as_the_predictor_does(
    service: Running, follower: Follower, pictures: list[Path]
) -> None:
    expected = follower.current.predict(pictures)
    reply = service.predict(pictures)
    assert reply.status == 200
    assert reply.json()["model"] == {"name": "tiles", "version": 1, "format": "keras"}
    assert [each["filename"] for each in reply.json()["predictions"]] == [picture.name for picture in pictures]
    alone = [service.ask("POST", "/predict", picture.read_bytes()) for picture in pictures]
    for answers in (told(reply), [answer for each in alone for answer in told(each)]):
        for (label, decision, scores), prediction in zip(answers, expected, strict=True):
            assert (label, decision) == (prediction.label, prediction.decision)
            assert scores == pytest.approx(prediction.probabilities, abs=1e-5)


def test_the_worst_picture_of_a_part_decides(service: Running, follower: Follower, pictures: list[Path]) -> None:
    groups = ["a", "b", "a", "b", "a"]
    expected = [each.decision for each in follower.current.predict(pictures, groups)]
    assert [decision for _, decision, _ in told(service.predict(pictures, groups))] == expected


def test_what_cannot_be_read_is_named_and_nothing_is_predicted(service: Running, pictures: list[Path]) -> None:
    good = pictures[0].read_bytes()
    body, kind = form([("good.png", good), ("cut.png", good[:80]), ("page.html", b"<html>"), ("empty.png", b"")])
    reply = service.ask("POST", "/predict", body, {"Content-Type": kind})
    assert reply.status == 422
    assert [fault["where"] for fault in reply.json()["error"]["faults"]] == ["cut.png", "page.html", "empty.png"]


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


HOSTILE: list[tuple[int, bytes, dict[str, str]]] = [
    (422, b"", {}),
    (422, b"GIF89a" + bytes(100), {}),
    (422, png(100_000, 100_000), {}),
    (422, png(3000, 3000)[:-25], {}),
    (422, b"II*\x00" + b"\xff" * 500, {}),
    (422, b"BM" + b"\xff" * 500, {}),
    (422, b"\xff\xd8\xff\xe0" + bytes(500), {}),
    (422, b"{}", {"Content-Type": "application/json"}),
    (413, bytes(1_000_001), {}),
    (400, b"x", {"Content-Type": "multipart/form-data"}),
    (400, b"--x\r\n\r\nno name\r\n--x--\r\n", MULTIPART),
    (400, b"garbage", MULTIPART),
    (415, b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"}),
    (415, b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"}),
    (422, b"--x--\r\n", MULTIPART),
    (422, b'--x\r\nContent-Disposition: form-data; name="groups"\r\n\r\na\r\n--x--\r\n', MULTIPART),
    (422, b'--x\r\nContent-Disposition: form-data; name="size"\r\n\r\n1\r\n--x--\r\n', MULTIPART),
    (
        400,
        b'--x\r\nContent-Disposition: form-data; name="groups"\r\n\r\n' + bytes(5000) + b"\r\n--x--\r\n",
        MULTIPART,
    ),
    (403, b"", {"Host": "evil.example"}),
    (403, b"", {"Host": "[::1"}),
    (403, b"", {"Origin": "https://evil.example"}),
    (403, b"", {"Origin": "null"}),
    (403, b"", {"Origin": "http://["}),
]


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_malformed_huge_and_hostile_requests_are_refused(service: Running, path: str) -> None:
    for status, body, headers in HOSTILE:
        reply = service.ask("POST", path, body, headers)
        assert (reply.status, reply.json()["error"]["status"]) == (status, status), (body[:80], headers)


def test_a_form_that_breaks_off_is_not_answered_by_the_pictures_before(service: Running, pictures: list[Path]) -> None:
    """The last picture would be left out without a word, and with it perhaps the worst of its part."""
    body, kind = form([(picture.name, picture.read_bytes()) for picture in pictures[:2]])
    end = body.rindex(b"--", 0, -4)  # of the last line
    whole = body[:end] + body[end:]
    assert service.ask("POST", "/predict", whole, {"Content-Type": kind}).status == 200
    for cut in (end, end - 2, len(body) - 4, body.rindex(b"Content-Disposition")):
        assert service.ask("POST", "/predict", body[:cut], {"Content-Type": kind}).status == 400, cut
    pieces = iter([body[start : start + 7] for start in range(0, len(body), 7)])
    assert service.ask("POST", "/predict", pieces, {"Content-Type": kind}, chunked=True).status == 200


def test_a_body_that_hides_its_size_is_cut_off(service: Running) -> None:
    reply = service.ask("POST", "/predict", iter([bytes(100_000)] * 20), chunked=True)
    assert reply.status == 413


def test_a_body_that_does_not_come_is_given_up(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BODY_S", 0.2)
    slow = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf a picture"
    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0)) as client:
        client.sendall(slow)
        assert client.recv(1000).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0)) as client:
        client.sendall(slow)  # and leaves
    while service.answering.door.inside:
        pass


def test_too_many_pictures_are_refused(service: Running, pictures: list[Path]) -> None:
    assert service.predict(pictures[:1] * MAX_PICTURES).status == 200
    assert service.predict(pictures[:1] * (MAX_PICTURES + 1)).status == 400
    assert service.predict(pictures, ["a"]).status == 422


def test_no_more_wait_than_may_and_each_gets_its_own_answer(
    follower: Follower, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()

    class Held:
        format = "keras"

        def run(self, squares: NDArray[np.uint8]) -> Answer:
            entered.set()
            assert go.wait(30)
            return whole.runtime.run(squares)

    whole: Predictor = follower.current
    follower.current = replace(whole, runtime=Held())
    replies: dict[int, Any] = {}
    with Running(follower, max_requests=3) as service:

        def ask(which: int) -> None:
            replies[which] = service.predict([pictures[which]])

        threads = [threading.Thread(target=ask, args=(which,)) for which in range(3)]
        for thread in threads:
            thread.start()
        assert entered.wait(30)
        while service.answering.door.inside < 3:
            pass
        refused = service.predict(pictures[:1])
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        follower.current = whole  # as after a promotion: who was let in before is answered by the version before
        go.set()
        for thread in threads:
            thread.join()
    expected = whole.predict(pictures[:3])
    for which, reply in replies.items():
        assert told(reply)[0][2] == pytest.approx(expected[which].probabilities, abs=1e-5)


def test_a_model_that_fails_is_no_secret_and_no_path(follower: Follower, pictures: list[Path]) -> None:
    class Broken:
        format = "keras"

        def run(self, squares: NDArray[np.uint8]) -> Answer:
            return Answer(np.full((len(squares), 3), np.nan), np.full((len(squares), 3), np.nan))

    whole = follower.current
    follower.current = replace(whole, runtime=Broken())
    with Running(follower) as service:
        reply = service.predict(pictures[:1])
        assert reply.status == 500
        assert str(whole.version.path) not in reply.content.decode()
        follower.current = whole
        assert service.predict(pictures[:1]).status == 200


def test_the_map_comes_with_the_same_prediction(service: Running, pictures: list[Path]) -> None:
    reply = service.predict(pictures[:1], path="/explain")
    assert reply.status == 200
    document = reply.json()
    assert np.shape(document["evidence"]["cells"]) == (CELLS, CELLS)
    assert document["prediction"]["label"] == told(service.predict(pictures[:1]))[0][0]
    with Image.open(pictures[0]) as image:
        assert (document["picture"]["width"], document["picture"]["height"]) == image.size
    assert document["covers"] == pytest.approx([0, -0.5, 1, 1.5])  # 40 x 20, padded to a square


def test_it_says_what_it_is(service: Running, pictures: list[Path]) -> None:
    assert service.ask("GET", "/healthz").status == service.ask("GET", "/readyz").status == 200
    model = service.ask("GET", "/model").json()
    assert model["classes"] == ["bent", "crack", "free"]
    assert model["limits"]["requests"] == 8
    assert model["following"] == {"reference": "tiles:1", "follows": False, "switches": 0, "problem": None}
    assert "/predict" in service.ask("GET", "/openapi.json").json()["paths"]
    assert service.ask("GET", "/docs").status == 404  # FastAPI's would be loaded from elsewhere
    refused = service.ask("GET", "/predict")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("host", ["127.0.0.2:8000", "localhost", "[::1]:8000", "127.0.0.1"])
def test_every_address_of_this_machine_alone_is_answered(service: Running, host: str) -> None:
    """`--host 127.0.0.2` needs no token, so a service there must answer."""
    assert service.ask("GET", "/model", headers={"Host": host}).status == 200


def test_it_counts_labels_and_decisions(service: Running, pictures: list[Path]) -> None:
    reply = service.predict(pictures, ["a", "a", "a", "b", "b"])
    service.ask("POST", "/predict", b"nothing")
    lines = service.ask("GET", "/metrics").content.decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    counted = {
        (label, decision): sum(1 for one, other, _ in told(reply) if (one, other) == (label, decision))
        for label, decision, _ in told(reply)
    }
    for (label, decision), n in counted.items():
        name = f'fdsearch_pictures_total{{decision="{decision}",label="{label}",model="tiles",version="1"}}'
        assert float(samples[name]) == n
    assert sum(float(value) for name, value in samples.items() if name.startswith("fdsearch_parts_total")) == 2
    decisions = dict(zip("aaabb", (decision for _, decision, _ in told(reply)), strict=True))
    assert float(samples["fdsearch_review_rate"]) == sum(each == "review" for each in decisions.values()) / 2
    assert float(samples['fdsearch_request_seconds_count{path="/predict",status="422"}']) == 1
    assert float(samples['fdsearch_model_info{format="keras",model="tiles",version="1"}']) == 1


def test_the_page_asks_nobody_else(service: Running) -> None:
    for path in ("/", "/page.css", "/page.js"):
        reply = service.ask("GET", path)
        assert reply.status == 200
        assert b"://" not in reply.content.replace(b"http://www.w3.org/2000/svg", b"")
        assert "default-src 'none'" in reply.headers["content-security-policy"]


def test_a_token_opens_everything_but_the_page(follower: Follower, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    with Running(follower, token=TOKEN) as service:
        for path in ("/", "/healthz", "/readyz"):
            assert service.ask("GET", path).status == 200
        for given in (
            {},
            {"Authorization": TOKEN},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Bearer "},
            {"Authorization": f"Basic {TOKEN}"},
        ):
            for method, path in (("POST", "/predict"), ("GET", "/model"), ("GET", "/metrics"), ("GET", "/nowhere")):
                assert service.ask(method, path, headers=given).status == 401
        right = {"Authorization": f"Bearer {TOKEN}", "Host": "line.example"}
        assert service.ask("POST", "/predict", content, right).status == 200
        assert service.ask("GET", "/model", headers={"Authorization": f"bearer {TOKEN}"}).status == 200


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    assert read_token(None, "127.0.0.1") is read_token(None, "localhost") is None
    with pytest.raises(ConfigError, match="anybody in the network"):
        read_token(None, "0.0.0.0")
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file, "0.0.0.0") == TOKEN
    for content in (b"short", b"", b"x" * 1001, b"two words are not a token", b"\xff" * 40):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="no token"):
            read_token(file, "127.0.0.1")


def test_pictures_of_every_format_are_answered(service: Running) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 65535, (30, 50), np.uint16))
    for picture_format in ("TIFF", "PNG"):
        stream = io.BytesIO()
        image.save(stream, picture_format)
        assert service.ask("POST", "/explain", stream.getvalue()).status == 200
