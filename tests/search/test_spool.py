"""The folder of results that are not in the database yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fdsearch.search.leases import this_parent
from fdsearch.search.spool import Entry, Spool


def entry(number: int, **values: Any) -> Entry:
    return Entry(
        **{"study": "tiles@1", "number": number, "parent": "box-1", "state": "COMPLETE", "value": 0.5} | values
    )


def test_what_is_kept_is_found_until_it_is_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert list(spool.left("tiles@1")) == []
    entries = [entry(1, attributes={"epochs": [3, 4]}), entry(2, state="PRUNED", value=None)]
    for one in entries:
        spool.keep(one)
    spool.keep(entry(1, study="tiles@2"))
    assert list(Spool(tmp_path / "spool").left("tiles@1")) == entries
    spool.forget(entries[0])
    spool.forget(entries[0])
    assert list(spool.left("tiles@1")) == entries[1:]
    assert len(list(spool.left("tiles@2"))) == 1


@pytest.mark.parametrize("content", ["", '{"study": "tiles@1", "num', "[]", "{}", "null", "\x00" * 40])
def test_a_torn_entry_counts_as_absent(tmp_path: Path, content: str) -> None:
    spool = Spool(tmp_path)
    spool.keep(entry(2))
    (tmp_path / "1-0001.json").write_text(content)
    assert list(spool.left("tiles@1")) == [entry(2)]


def test_an_entry_that_cannot_be_read_is_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.keep(entry(1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            list(spool.left("tiles@1"))
    assert list(spool.left("tiles@1")) == [entry(1)]


def test_nothing_is_told_of_a_trial_that_nobody_has_begun(bench: Any) -> None:
    study = bench.study()  # made anew, under the same name
    study.enqueue_trial({"custom_quality": 0.7})
    spool = Spool(bench.folder / "spool")
    spool.keep(entry(0, study=study.study_name, parent=this_parent().id, attributes={"seconds": 3.0}))
    bench.ledger(study).open()
    [trial] = study.trials
    assert (trial.state.name, trial.user_attrs) == ("WAITING", {})
    assert not list((bench.folder / "spool").iterdir())


def test_results_are_told_once_and_only_of_trials_that_wait_for_them(bench: Any) -> None:
    study = bench.study()
    running, ended = study.ask(), study.ask()
    study.tell(ended, 0.9)
    spool = Spool(bench.folder / "spool")
    values = {"study": study.study_name, "parent": this_parent().id}
    for number in (running.number, ended.number, 77):  # of the last, a restored backup knows nothing
        spool.keep(entry(number, **values, attributes={"seconds": 3.0}))
    for _ in range(2):
        bench.ledger(study).open()
        assert [(trial.state.name, trial.value) for trial in study.trials] == [("COMPLETE", 0.5), ("COMPLETE", 0.9)]
        assert study.trials[0].user_attrs["seconds"] == 3.0
        assert "seconds" not in study.trials[1].user_attrs
        assert not list((bench.folder / "spool").iterdir())
