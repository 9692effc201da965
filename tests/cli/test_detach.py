"""`run --detach`: a process of its own that ends as the command would."""

from __future__ import annotations

import os
from pathlib import Path

from fdsearch.cli.detach import start


def test_the_command_goes_on_elsewhere(tmp_path: Path) -> None:
    document = start("no_such_study", "tiles", tmp_path, ["--fresh", "--json"], {})
    _, status = os.waitpid(document["pid"], 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert '"no_such_study"' in Path(document["output"]).read_text()
    assert document["study"] == "tiles"
