"""Which packages are installed: versions, timings and caches name what they were made with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each installed package, in the given order; those that are absent are left out.

    Examples
    --------
    >>> list(installed_versions(["numpy", "no-such-package"]))
    ['numpy']
    """
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
