"""Drill: the service under load while its champion changes, and while somebody sends it rubbish.

Sixteen clients ask for a minute on loopback. Exits 1 where a request is answered by anything but 200 and 429, where an
answer is not that of the version it names, where one that began after a switch is the old version's, where rubbish is
not refused with a 4xx, where the 99th percentile is ten times the latency of a single client or more, or where memory
grows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
from drills.served import NAME, make_registry
from running import first_document, form

from fdsearch.registry.store import Registry
from fdsearch.serving.predictor import Predictor

MOST_RATIO = 10.0
MOST_GROWTH = 0.05
TOLERANCE = 1e-4
RUBBISH = (b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\xff" * 5000, b"BM" + b"\xff" * 200, bytes(70_000_000))
Scores = dict[str, float]


@dataclass
class Seen:
    """What all clients saw."""

    seconds: list[float] = field(default_factory=list)
    busy: int = 0
    dropped: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    stale: int = 0
    rubbish: dict[int, int] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)


@dataclass
class Load:
    """What clients send, what they must hear, and which version must answer who begins now."""

    address: str
    model: str
    pictures: list[bytes]
    expected: dict[int, list[Scores]]
    seen: Seen = field(default_factory=Seen)
    ended: threading.Event = field(default_factory=threading.Event)
    certain: tuple[int, int] | None = None
    """Number of the last switch, and the version that answers since; None while one is under way."""
    switches: int = 0


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument(
        "--registry", type=Path, help="a copy of a registry whose MODEL has versions 1 and 2; it is changed"
    )
    parser.add_argument("--model", default=NAME)
    parser.add_argument("--pictures", type=Path, help="folder of pictures; default generated ones")
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="further arguments of fdsearch serve")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fdsearch-drill-"))
    try:
        figure = _drill(arguments, folder)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


def _drill(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    registry = Registry(arguments.registry or make_registry(folder, arguments.image_size))
    registry.promote(arguments.model, 1, by="drill", reason="begin", force=True)
    pictures = _pictures(arguments.pictures)
    predictors = {version: Predictor.load(f"{arguments.model}:{version}", registry.root) for version in (1, 2)}
    expected = {
        version: [each.probabilities for each in predictor.predict(pictures)]
        for version, predictor in predictors.items()
    }
    command = [sys.executable, "-m", "fdsearch", "serve", arguments.model, "--root", str(registry.root.parent)]
    command = ["setpriv", "--pdeathsig", "TERM", *command, "--port", "0", "--json", *arguments.serve]
    with (folder / "log.txt").open("w") as log:
        process = psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            said = first_document(process.stdout)
            load = Load(urlsplit(said["url"]).netloc, arguments.model, pictures, expected)
            single = _single(load)
            _all(arguments, registry, load, process)
        finally:
            process.terminate()
            process.wait(30)
    return _figure(arguments, load.seen, single, said["format"], load.switches)


def _pictures(folder: Path | None) -> list[bytes]:
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.iterdir())[:40]]
    from fdsearch.data.synthetic import synthesize

    with tempfile.TemporaryDirectory() as made:
        synthesize(Path(made), {"0_GOOD": 20, "4_Missing": 20})
        return [path.read_bytes() for path in sorted(Path(made).rglob("*.png"))]


def _single(load: Load) -> float:
    """Median latency of one client alone, seconds."""
    alone = Load(load.address, load.model, load.pictures, load.expected)
    client = threading.Thread(target=_ask, args=(alone, random.Random(0)))
    client.start()
    while len(alone.seen.seconds) < 200 and client.is_alive():
        time.sleep(0.01)
    alone.ended.set()
    client.join()
    load.seen.dropped += alone.seen.dropped
    load.seen.mixed += alone.seen.mixed
    return statistics.median(alone.seen.seconds[20:])


def _all(arguments: argparse.Namespace, registry: Registry, load: Load, process: psutil.Popen) -> None:
    tasks = [threading.Thread(target=_ask, args=(load, random.Random(seed))) for seed in range(arguments.clients)]
    tasks += [
        threading.Thread(target=_send_rubbish, args=(load,)),
        threading.Thread(target=_weigh, args=(load, process)),
    ]
    begun = time.monotonic()
    for task in tasks:
        task.start()
    for number in range(1, arguments.switches + 1):
        due = begun + arguments.seconds * number / (arguments.switches + 1)
        time.sleep(max(0.0, due - time.monotonic()))
        _switch(registry, load, number)
    time.sleep(max(0.0, begun + arguments.seconds - time.monotonic()))
    load.ended.set()
    for task in tasks:
        task.join()


def _switch(registry: Registry, load: Load, number: int) -> None:
    """Promote version 2, or roll back to 1, and wait until the service says that it answers."""
    load.certain = None
    version = 1 + number % 2
    if version == 2:
        registry.promote(load.model, 2, by="drill", reason=f"switch {number}", force=True)
    else:
        registry.rollback(load.model, by="drill", reason=f"switch {number}")
    connection, until = http.client.HTTPConnection(load.address, timeout=30), time.monotonic() + 60
    answering = 0
    while answering != version and time.monotonic() < until:
        connection.request("GET", "/model")
        answering = json.loads(connection.getresponse().read())["model"]["version"]
        time.sleep(0.05)
    connection.close()
    if answering == version:
        load.certain, load.switches = (number, version), load.switches + 1
    else:
        load.seen.dropped.append(f"switch {number} was not followed")


def _ask(load: Load, chance: random.Random) -> None:
    """One client: mostly one picture, sometimes the three of a part; it keeps its connection."""
    connection = http.client.HTTPConnection(load.address, timeout=30)
    while not load.ended.is_set():
        which = [chance.randrange(len(load.pictures)) for _ in range(1 if chance.random() < 0.9 else 3)]
        body, kind = form([(f"{number}.png", load.pictures[number]) for number in which])
        certain, began = load.certain, time.perf_counter()
        try:
            connection.request("POST", "/predict", body, {"Content-Type": kind})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            load.seen.dropped.append(repr(error))
            connection.close()
            continue
        if answer.status == 429:
            load.seen.busy += 1
            load.ended.wait(float(answer.headers["Retry-After"]))
        elif answer.status != 200:
            load.seen.dropped.append(f"{answer.status} {content[:200]!r}")
        else:
            if len(which) == 1:
                load.seen.seconds.append(time.perf_counter() - began)
            _check(load, certain, which, content)
    connection.close()


def _check(load: Load, certain: tuple[int, int] | None, which: list[int], content: bytes) -> None:
    answer = json.loads(content)
    version = answer["model"]["version"]
    for number, told in zip(which, answer["predictions"], strict=True):
        expected = load.expected[version][number]
        furthest = max(abs(share - expected[name]) for name, share in told["probabilities"].items())
        if told["filename"] != f"{number}.png" or furthest > TOLERANCE:
            load.seen.mixed.append(f"picture {number} by version {version}: {furthest:.2g} away")
    # Only what was certain from before the request until now can be demanded of it.
    if certain is not None and certain == load.certain and version != certain[1]:
        load.seen.stale += 1


def _send_rubbish(load: Load) -> None:
    connection = http.client.HTTPConnection(load.address, timeout=30)
    while not load.ended.is_set():
        for rubbish in RUBBISH:
            try:
                connection.request("POST", "/predict", rubbish)
                answer = connection.getresponse()
                answer.read()
                load.seen.rubbish[answer.status] = load.seen.rubbish.get(answer.status, 0) + 1
            except (OSError, http.client.HTTPException) as error:
                load.seen.dropped.append(f"rubbish: {error!r}")
                connection.close()
            load.ended.wait(0.5)
    connection.close()


def _weigh(load: Load, process: psutil.Popen) -> None:
    while not load.ended.wait(0.5):
        load.seen.memory.append(process.memory_info().rss / 1e6)


def _figure(
    arguments: argparse.Namespace, seen: Seen, single: float, served_by: str, switches: int
) -> dict[str, object]:
    p99 = float(np.percentile(seen.seconds, 99))
    third = len(seen.memory) // 3
    first, last = statistics.median(seen.memory[third // 2 : third]), statistics.median(seen.memory[-third // 2 :])
    refused = all(400 <= status < 500 for status in seen.rubbish)
    faults = [
        fault
        for holds, fault in (
            (not seen.dropped, f"{len(seen.dropped)} dropped: {seen.dropped[:3]}"),
            (not seen.mixed, f"{len(seen.mixed)} mixed: {seen.mixed[:3]}"),
            (not seen.stale, f"{seen.stale} answers of a version that was replaced before they were asked for"),
            (switches == arguments.switches, f"only {switches} switches"),
            (refused and seen.rubbish, f"rubbish was answered with {seen.rubbish}"),
            (p99 < MOST_RATIO * single, f"the 99th percentile is {p99 / single:.1f} times the single latency"),
            (last < first * (1 + MOST_GROWTH), f"memory grew from {first:.0f} to {last:.0f} MB"),
        )
        if not holds
    ]
    return {
        "drill": "service",
        "seconds": arguments.seconds,
        "clients": arguments.clients,
        "format": served_by,
        "answers": len(seen.seconds),
        "per_second": round(len(seen.seconds) / arguments.seconds, 1),
        "busy_429": seen.busy,
        "single_ms": round(1000 * single, 1),
        "median_ms": round(1000 * statistics.median(seen.seconds), 1),
        "p99_ms": round(1000 * p99, 1),
        "p99_per_single": round(p99 / single, 2),
        "switches": switches,
        "dropped": len(seen.dropped),
        "mixed": len(seen.mixed),
        "stale": seen.stale,
        "rubbish": seen.rubbish,
        "memory_mb": [round(first), round(last), round(max(seen.memory))],
        "faults": faults,
        "ok": not faults,
    }


if __name__ == "__main__":
    sys.exit(main())
