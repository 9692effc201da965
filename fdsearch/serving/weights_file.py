"""What the HDF5 file of a ``.keras`` model holds, found out before Keras reads numbers from it.

`loading` calls this after `archive`, which does not look into this member. HDF5 can name other files and can say that
a few bytes unpack to terabytes. Keras uses neither, and refuses bombs only from 4 GiB on.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from fdsearch.errors import Fault, IntegrityError
from fdsearch.registry.manifest import RESTORE
from fdsearch.serving.archive import WEIGHTS


def check_weights(content: bytes, where: str) -> None:
    """Refuse weights that are not simply there.

    Parameters
    ----------
    content : bytes
        The whole ``.keras`` file, as `archive.check_archive` lets it through.
    where : str
        Names it in faults.

    Raises
    ------
    IntegrityError
        If the weights are no HDF5 file, or one with links, numbers in other files, or packed numbers.
    """
    import h5py

    place = f"{where}: {WEIGHTS}"
    found: list[str] = []

    def look(name: str, link: Any) -> None:
        if not isinstance(link, h5py.HardLink):
            found.append(f"a link, {name[:80]}")
            return
        item = weights[name]
        if isinstance(item, h5py.Dataset) and not _is_plain(item):
            found.append(f"numbers that are packed or lie elsewhere, {name[:80]}")

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = io.BytesIO(archive.read(WEIGHTS))
        with h5py.File(member, "r") as weights:
            weights.visititems_links(look)
    except Exception as error:  # h5py answers damaged content with OSError, KeyError, RuntimeError and more
        fault = Fault(place, f"{type(error).__name__}: {error}"[:300], "weights in HDF5", RESTORE)
        raise IntegrityError("the model file cannot be read", [fault]) from error
    if found:
        faults = [Fault(place, got, "plain numbers", RESTORE) for got in found[:20]]
        raise IntegrityError("the model file is refused; nothing in it was run", faults)


def _is_plain(dataset: Any) -> bool:
    stored: int = dataset.id.get_storage_size()
    return (
        dataset.dtype.kind in "fiub"
        and dataset.external is None
        and not dataset.is_virtual
        and dataset.chunks is None
        and stored == dataset.size * dataset.dtype.itemsize
    )
