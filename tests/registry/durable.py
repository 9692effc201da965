"""Run by test_durability.py under strace: one of each change of a registry, each announced by the name of a file that
is looked for and not there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fdsearch.registry.collection import collect
from fdsearch.registry.draft import Draft
from fdsearch.registry.model import Model
from fdsearch.registry.store import Registry
from fdsearch.registry.transfer import export_version, import_version


def main(root: Path, folder: Path) -> None:
    registry, draft = Registry(root / "registry"), Draft(folder)
    archive, other = root / "tiles.zip", Registry(root / "other")

    def announce(change: str) -> None:
        (root / f"begin-{change}").exists()

    announce("register")
    registry.register("tiles", draft, "test")
    for _ in range(2):
        registry.register("tiles", draft, "test")
    announce("promote")
    registry.promote("tiles", 1, by="kim", reason="first")
    registry.promote("tiles", 2, by="kim", reason="second")
    announce("rollback")
    registry.rollback("tiles", by="kim", reason="glare")
    announce("gc")
    collect(Model(registry.root / "tiles"), by="kim", reason="disk")
    announce("export")
    export_version(registry.resolve("tiles"), archive)
    announce("import")
    import_version(other.root, archive, by="lee")
    announce("end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
