"""Where things lie under the root folder (``--root``, default ``.fdsearch``): paths only, no contents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The root folder of one user's studies, caches and registry."""

    root: Path

    def run(self, study: str) -> Path:
        """Folder of one study's run."""
        return self.root / "runs" / study

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def audit(self, name: str) -> Path:
        """Folder of what an audit writes."""
        return self.root / "audits" / name

    @property
    def generated(self) -> Path:
        """Pictures that fdsearch made itself."""
        return self.root / "generated"

    @property
    def pixels(self) -> Path:
        return self.root / "cache" / "pixels"

    @property
    def prefix(self) -> Path:
        return self.root / "cache" / "prefix"

    @property
    def groups(self) -> Path:
        """Proposed groups: not below the cache, since clearing caches must not change a study."""
        return self.root / "groups"

    @property
    def latencies(self) -> Path:
        return self.root / "cache" / "latency"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    def partition(self, name: str) -> Path:
        """The CSV that keeps the roles of a partition."""
        return self.root / "partitions" / f"{name}.csv"
