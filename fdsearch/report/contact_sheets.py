"""Contact sheets: the pictures an audit is about, side by side, for a person who decides.

Plain rows to self-contained pages that run no code and load nothing, as `html` does. `audit_sheets` says which pictures
belong together and `audit_words` what is said of them; the pipeline brings the pictures and writes the files.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsearch.report import audit_words, words

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "contact_sheet.html.j2"

PER_PAGE = 100
"""Sets of pictures on a page."""

_SIDE = 128
"""Longer side of a thumbnail, pixels."""


@dataclass(frozen=True)
class Shown:
    """A picture as it is shown.

    Parameters
    ----------
    src : str
        A data URI; empty where there is no picture.
    name : str
        Of the file.
    remark : str
        What is said of it beside its name: its label, the side of a split that it is on.
    """

    src: str
    name: str
    remark: str = ""

    @property
    def folder(self) -> str:
        """The part of the name that pictures share, with its last slash."""
        return self.name[: self.name.rfind("/") + 1]


@dataclass(frozen=True)
class Sheet:
    """Pictures that belong together, with what is said of them."""

    section: str
    title: str
    pictures: tuple[Shown, ...]


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """A small JPEG of a gray picture, uint8 (h, w), as a data URI.

    Examples
    --------
    >>> thumbnail(np.zeros((300, 200), np.uint8)).partition(",")[0]
    'data:image/jpeg;base64'
    """
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def pages(name: str, document: Mapping[str, Any], sheets: Sequence[Sheet]) -> Iterator[tuple[str, str]]:
    """Render the pages.

    Parameters
    ----------
    name : str
        Of the study or the data set.
    document : mapping
        What the audit found, as `data.audit` documents it; the first page tells it before the pictures.
    sheets : sequence of Sheet
        Those of one section in a row.

    Yields
    ------
    (str, str)
        File name and HTML of each page, one at least. Equal arguments give equal bytes.
    """
    starts = range(0, max(1, len(sheets)), PER_PAGE)
    names = [page_name(number) for number in range(1, len(starts) + 1)]
    for start, current in zip(starts, names, strict=True):
        some = sheets[start : start + PER_PAGE]
        sections = [(title, list(members)) for title, members in groupby(some, lambda sheet: sheet.section)]
        yield (
            current,
            _page().render(
                name=name,
                audit=document if start == 0 else None,
                lead=audit_words.alarms(document),
                lists=audit_words.lists(document),
                remarks=audit_words.remarks(document),
                classes=class_rows(document),
                sections=sections,
                names=names,
                current=current,
            ),
        )


def class_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, pictures and parts of each class.

    Examples
    --------
    >>> class_rows({"classes": {"Free": 30}, "group_counts": {"development": {"Free": 8}}})
    [{'name': 'Free', 'pictures': 30, 'development': 8, 'holdout': None}]
    """
    counts = document["group_counts"]
    return [
        {"name": name, "pictures": pictures}
        | {role: counts.get(role, {}).get(name) for role in ("development", "holdout")}
        for name, pictures in document["classes"].items()
    ]


def page_name(number: int) -> str:
    """File name of a page, counted from 1.

    Examples
    --------
    >>> page_name(1), page_name(2)
    ('audit.html', 'audit-2.html')
    """
    return "audit.html" if number == 1 else f"audit-{number}.html"


@functools.cache
def _page() -> jinja2.Template:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(score=words.score, interval=words.interval, plain=words.plain)
    return environment.get_template(TEMPLATE)
