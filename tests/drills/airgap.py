"""Drill: fdsearch on a box that has no network, from the wheelhouse on.

Packs a wheelhouse, then works in a network namespace with nothing but a loopback of its own: install.sh, weights, demo,
report, dashboard, service, predict. Exits 1 where a step fails, or where a page asks for anything that lies elsewhere.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from browser import PROGRAM
from drills.bare_box import BareBox
from drills.checks import Findings
from drills.pages import Page, served

REPOSITORY = Path(__file__).resolve().parents[2]
N_PICTURES = 24
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
"""From linux/sockios.h and linux/if.h."""
_CONTROL = """<script>fetch("http://192.0.2.1/script").catch(() => 0)</script>
<img src="https://fonts.invalid/picture.png"><iframe src="http://192.0.2.1/frame"></iframe>"""
"""A page as none may be: that its three requests are noticed proves that those of others would be. The addresses are
reserved and lead nowhere."""


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", default="train,export,serve,sign")
    parser.add_argument("--wheelhouse", type=Path, help="one that is packed already; default packs one")
    parser.add_argument("--folder", type=Path, help="keep everything here; default a temporary folder")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return _inside(arguments.wheelhouse, arguments.folder)
    if PROGRAM is None:
        parser.error("the pages need Chromium: make system")
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="fdsearch-drill-"))).absolute()
    wheelhouse = (arguments.wheelhouse or _pack(folder / "wheelhouse", arguments.extra)).absolute()
    inside = [sys.executable, "-m", "drills.airgap", "--inside", f"--wheelhouse={wheelhouse}", f"--folder={folder}"]
    code = subprocess.run(["unshare", "--map-root-user", "--net", *inside], check=False).returncode
    if code != 0:
        print(f"files are left in {folder}", file=sys.stderr)
    elif arguments.folder is None:
        shutil.rmtree(folder)
    return code


def _pack(folder: Path, extra: str) -> Path:
    """Pack a wheelhouse of this repository, while there is a network."""
    script = REPOSITORY / "packaging" / "wheelhouse.py"
    subprocess.run([sys.executable, str(script), str(folder), f"--extra={extra}"], stdout=sys.stderr, check=True)
    return folder


def _inside(wheelhouse: Path, folder: Path) -> int:
    interfaces = [name for _, name in socket.if_nameindex()]
    if interfaces != ["lo"]:
        raise SystemExit(f"this is no empty network namespace: {interfaces}")
    with socket.socket() as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    box, found = BareBox(wheelhouse, folder), Findings()
    figure = {"drill": "airgap", "interfaces": interfaces, **_work(box, found), "seconds": box.seconds}
    print(json.dumps({**figure, "faults": found.faults, "ok": not found.faults}))
    return 1 if found.faults else 0


def _work(box: BareBox, found: Findings) -> dict[str, Any]:
    """Everything a person does there, in order; the figures."""
    box.install()
    fetch = ("models", "fetch", "--to", str(box.folder / "weights"))
    weights = box.fdsearch("weights", *fetch, "efficientnet_lite0")
    missing = box.fdsearch("weights_missing", *fetch, "inception_v3", code=7)
    found.expect("--from DIR" in str(missing), "the error about missing weights does not name the way by hand")
    result = box.fdsearch("demo", "demo")
    found.expect(bool(result["champion"]), "the demo has no champion")
    verified = box.fdsearch("verify", "registry", "verify")
    report = Path(box.fdsearch("report", "report", "demo")["report"])
    pages = _open_pages(box, report, found)
    pictures = sorted((box.root / "generated" / "demo").rglob("*.png"))[:N_PICTURES]
    told = box.fdsearch("predict", "predict", "demo@champion", *map(str, pictures))["predictions"]
    found.expect(len(told) == N_PICTURES, f"{len(told)} predictions for {N_PICTURES} pictures")
    return {
        "weights_sha256": weights["sha256"],
        "trials": result["n_complete"],
        "champion": result["champion"],
        "headline": result["headline"]["value"],
        "versions_verified": verified["versions"],
        "predictions": len(told),
        "page_requests": {
            name: {"all": len(page.requests), "outside": len(page.outside)} for name, page in pages.items()
        },
    }


def _open_pages(box: BareBox, report: Path, found: Findings) -> dict[str, Page]:
    """Open every page that fdsearch makes, and one that asks elsewhere."""
    (box.folder / "control").mkdir(exist_ok=True)
    (box.folder / "control" / "index.html").write_text(_CONTROL)
    pages = {}
    with served(box.folder / "control") as address:
        pages["control"] = box.page("control", address)
    with served(report.parent) as address:
        pages["report"] = box.page("report", address + report.name)
    with box.serving("dashboard", "demo") as address:
        pages["dashboard"] = box.page("dashboard", f"{address}/studies/1/trials?numbers=0")
    with box.serving("serve", "demo@champion") as address:
        pages["service"] = box.page("service", address)
    shown = {"report": "<title>demo", "dashboard": 'src="/pictures/', "service": "demo, version 1"}
    for name, text in shown.items():
        found.expect(text in pages[name].dom, f"the {name} does not show {text}")
        found.expect(not pages[name].outside, f"the {name} asks for {pages[name].outside}")
    noticed = pages["control"].outside
    found.expect(len(noticed) == 3, f"of a page with three requests to elsewhere {noticed} were noticed")
    return pages


if __name__ == "__main__":
    sys.exit(main())
