"""Where the studies and search spaces that come with fdsearch lie."""

from __future__ import annotations

from pathlib import Path


def shipped(kind: str) -> Path:
    """Folder of the shipped ``studies`` or ``search_spaces``: in the wheel beside the code, else in the checkout."""
    package = Path(__file__).parent
    packed = package / "shipped" / kind
    return packed if packed.is_dir() else package.parent / kind
