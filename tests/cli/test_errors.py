"""Whatever ends a command becomes one of fdsearch's errors, with the exit code of the design."""

from __future__ import annotations

import errno
import json

import pytest
import typer

from fdsearch.cli.errors import EXTRAS, block, report, translate
from fdsearch.errors import ConfigError, DataError, Fault, FdsearchError, IntegrityError, Interrupted


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("bad"), 3),
        (IntegrityError("bad"), 5),
        (Interrupted(15), 143),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (typer.BadParameter("bad"), 2),
        (MemoryError(), 7),
        (ModuleNotFoundError("no", name="tensorflow"), 7),
        (ModuleNotFoundError("no", name="sklearn.linear_model"), 7),
        (ModuleNotFoundError("no", name="fdsearch.nothing"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 7),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 7),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 4),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 4),
        (OSError("no file is named"), 1),
        (KeyError("a"), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert translate(error).exit_code == code


def test_a_missing_package_names_the_line_that_installs_it() -> None:
    error = translate(ModuleNotFoundError("No module named 'optuna'", name="optuna"))
    assert "pip install fdsearch[train]" in error.message


def test_the_extras_are_those_of_the_project() -> None:
    from importlib.metadata import metadata

    assert set(EXTRAS) <= set(metadata("fdsearch").get_all("Provides-Extra") or ())


def test_a_defect_is_called_one_and_hides_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("missing")
    except KeyError as error:
        assert report(error, as_json=False, debug=False) == 1
        quiet = capsys.readouterr().err
        report(error, as_json=False, debug=True)
    assert "a defect of fdsearch: KeyError" in quiet and "Traceback" not in quiet
    assert "Traceback" in capsys.readouterr().err


def test_all_faults_are_printed_and_steer_no_terminal() -> None:
    faults = [Fault(f"labels.csv, row {row}", "\x1b[2Jevil\x07", "a label") for row in range(50)]
    text = block(DataError("50 rows are wrong", faults))
    assert text.count("labels.csv, row ") == 50
    assert "\x1b" not in text and "\x07" not in text
    assert "fix" not in text, "a fault without a remedy prints no empty line for it"


def test_json_prints_any_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    report(ConfigError("bad", [Fault(name, "x", "y")]), as_json=True, debug=False)
    assert json.loads(capsys.readouterr().out)["error"]["faults"][0]["where"] == name


def test_errors_are_told_apart_by_kind() -> None:
    assert isinstance(translate(ValueError("x")), FdsearchError)
    assert type(translate(ValueError("x"))) is FdsearchError
