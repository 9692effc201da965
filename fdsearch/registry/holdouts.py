"""Who was scored on which sealed pictures: a log that outlives models, partitions and run folders.

A holdout is worth what nobody has chosen by it. ``ROOT/registry/holdouts.jsonl`` is a `chain` with one line per
opening, written by `pipeline` before a sealed picture is decoded; whoever opens a holdout again, under another
model's, study's or partition's name, finds the earlier openings here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from fdsearch.errors import IntegrityError
from fdsearch.files import digest_json
from fdsearch.registry.chain import Chain, Entry
from fdsearch.registry.disk import disk_errors, exclusive

OPENINGS, HEAD, LOCK = "holdouts.jsonl", "holdouts.head", "holdouts.lock"
NAMES = (OPENINGS, HEAD, LOCK)
"""The files of the log, beside the models' folders."""

_GENESIS = digest_json({"log": "holdouts"})


@dataclass(frozen=True)
class Opening:
    """One candidate's look at sealed pictures.

    Parameters
    ----------
    partition : str
        Name of the partition that sealed them.
    data : str
        Digest of all pictures of the study.
    holdout : str
        Digest of the sealed pictures, see `holdout_digest`; empty where an older fdsearch did not note it.
    study, model, candidate : str
        Who looked: the same candidate of the same holdout is the same opening, however often it is scored.
    when : str
        UTC, ISO 8601; empty before it is logged.
    """

    partition: str
    data: str
    holdout: str
    study: str
    model: str
    candidate: str
    when: str = ""

    def shares(self, partition: str, holdout: str, data: str) -> bool:
        """Whether this look told something about another holdout.

        One name, one set of pictures or one set of sealed pictures is enough: a partition dealt anew over the same
        pictures seals what an earlier candidate was chosen with.
        """
        return self.partition == partition or self.data == data or (self.holdout != "" and self.holdout == holdout)


_KEYS = {field.name for field in fields(Opening)}


def holdout_digest(content: Iterable[str]) -> str:
    """Name a set of sealed pictures by the digests of their files, whatever their order and names.

    Examples
    --------
    >>> holdout_digest(["b", "a"]) == holdout_digest(["a", "b", "b"])
    True
    """
    return digest_json(sorted(set(content)))


class HoldoutLog:
    """The openings of all holdouts under one registry.

    Parameters
    ----------
    root : Path
        ``ROOT/registry``; made with the first opening.

    Attributes
    ----------
    chain : Chain
        The lines behind the openings.

    Examples
    --------
    >>> HoldoutLog(Path("no/such/folder")).read()
    ()
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.chain = Chain(root / OPENINGS, root / HEAD, _GENESIS, "the holdouts")

    def read(self) -> tuple[Opening, ...]:
        """Return every opening, oldest first.

        Raises
        ------
        IntegrityError
            If the log is not as it was written.
        """
        return tuple(self._opening(number, entry) for number, entry in enumerate(self.chain.read(), start=1))

    def opened(self, partition: str, holdout: str, data: str) -> list[Opening]:
        """The openings that told something about a holdout, oldest first; errors as in `read`."""
        return [opening for opening in self.read() if opening.shares(partition, holdout, data)]

    def open(self, opening: Opening, earlier: Iterable[Opening] = ()) -> Opening:
        """Log an opening, before anything is seen.

        Parameters
        ----------
        opening : Opening
        earlier : iterable of Opening
            Openings that an older fdsearch noted elsewhere; those that are not in the log yet are added before.

        Returns
        -------
        Opening
            As it stands in the log; where the candidate had opened this holdout before, that opening.

        Raises
        ------
        IntegrityError
            If the log is not as it was written; nothing is opened then.
        ConflictError
            If another process held the log for a minute.
        ResourceError, StorageError
            If the disk is full, or cannot be written.
        """
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with exclusive(self.root / LOCK):
                for each in earlier:
                    self._add(each)
                return self._add(opening)

    def _add(self, opening: Opening) -> Opening:
        for known in self.opened(opening.partition, opening.holdout, opening.data):
            if known.candidate == opening.candidate and known.model == opening.model:
                return known
        now = datetime.now(UTC).isoformat(timespec="seconds")
        added = replace(opening, when=opening.when or now)
        self.chain.append(asdict(added))
        return added

    def _opening(self, number: int, entry: Entry) -> Opening:
        said = {key: value for key, value in entry.items() if key not in ("seq", "previous")}
        if said.keys() == _KEYS and all(isinstance(value, str) for value in said.values()):
            return Opening(**said)
        fault = self.chain.fault(number, entry)
        raise IntegrityError("the log of the holdouts has a line that is no opening", [fault])
