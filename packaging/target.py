"""The box that a wheelhouse is for: what pip may download for it, and which requirements its Python would ask for.

`wheelhouse` downloads for it, `closure` checks the result; `install.sh` compares the box it runs on with `describe`.
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass

GLIBC = (2, 28)
"""The newest C library a wheel may ask for: what Debian 10, Ubuntu 20.04 and Enterprise Linux 8 have. A fixed one, so
that the wheels do not depend on the box where they were collected. TensorFlow asks for 2.27."""
OLDEST_PYTHON = (3, 11)
_NAMED_BEFORE_2_17 = ("manylinux1", "manylinux2010", "manylinux2014")


@dataclass(frozen=True)
class Target:
    """A Linux box with a CPython.

    Parameters
    ----------
    python : str
        ``major.minor``, 3.11 or later.
    machine : str
        As ``uname -m`` says it.

    Raises
    ------
    ValueError
        If fdsearch does not run on that Python.

    Examples
    --------
    >>> Target("3.10")
    Traceback (most recent call last):
    ValueError: PYTHON is '3.10'; a version such as 3.12 is needed, 3.11 or later
    """

    python: str = f"{sys.version_info[0]}.{sys.version_info[1]}"
    machine: str = platform.machine()

    def __post_init__(self) -> None:
        version = re.fullmatch(r"(3)\.(\d+)", self.python)
        if version is None or (int(version[1]), int(version[2])) < OLDEST_PYTHON:
            raise ValueError(f"PYTHON is {self.python!r}; a version such as 3.12 is needed, 3.11 or later")

    def pip_options(self) -> list[str]:
        """What makes ``pip download`` choose wheels for the target instead of this box.

        Examples
        --------
        >>> options = Target("3.12", "aarch64").pip_options()
        >>> options[:3]
        ['--only-binary=:all:', '--implementation=cp', '--python-version=3.12']
        >>> options[-1]
        '--platform=manylinux_2_28_aarch64'
        """
        names = [*_NAMED_BEFORE_2_17, *(f"manylinux_{GLIBC[0]}_{minor}" for minor in range(5, GLIBC[1] + 1))]
        platforms = [f"--platform={name}_{self.machine}" for name in names]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}", *platforms]

    def markers(self) -> dict[str, str]:
        """The environment markers of the target; pip would evaluate those of the Python that runs it.

        A requirement that depends on the patch release is asked as for the first one: what only early releases need is
        packed too.
        """
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def describe(self) -> dict[str, str]:
        """The lines of ``target.txt`` that `install.sh` checks."""
        return {"python": self.python, "machine": self.machine, "glibc": f"{GLIBC[0]}.{GLIBC[1]}"}
