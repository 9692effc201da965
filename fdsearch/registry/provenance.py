"""What a version was made with: the installed packages and fdsearch's own code."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import fdsearch
from fdsearch.files import digest_file, digest_json
from fdsearch.packages import installed_versions

PACKAGES = ("fdsearch", "keras", "numpy", "optuna", "pillow", "scikit-learn", "tensorflow")
"""The packages whose version can change a score."""


def package_versions() -> dict[str, str]:
    """Return the installed version of each of `PACKAGES`; those that are absent are left out."""
    return installed_versions(PACKAGES)


@lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 (64 hex digits) over the path and content of every Python file of fdsearch."""
    root = Path(fdsearch.__file__).parent
    return digest_json({path.relative_to(root).as_posix(): digest_file(path) for path in sorted(root.rglob("*.py"))})
