"""The entry point of ``fdsearch`` and ``python -m fdsearch``: runs one command and returns its exit code.

Every failure of every command ends here, so that a shell sees one exit code, a person one block on stderr, and a
program (``--json``) one document on stdout.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default those of the process.

    Returns
    -------
    int
        The exit code: 0 done, 1 a defect, 2 configuration, 3 data, 4 storage, 5 integrity, 6 conflict, 7 resources,
        128 + signal interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # TensorFlow's notes about the processor are no result; whoever wants them sets the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.umask(os.umask(0o027) | 0o027)  # pictures and models are nobody else's business
    try:
        with _signals_as_exceptions():
            code = _run(list(arguments))  # the parser uses up what it is given
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted; a second failure while Python flushes at exit is avoided.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except SystemExit as ended:  # what rich, which prints the help, makes of a closed pipe
        if isinstance(ended.__context__, BrokenPipeError):
            return 0
        raise
    except (Exception, KeyboardInterrupt) as error:
        from fdsearch.cli.errors import report

        # The parser may have failed before it saw the flags, so they are looked up in the arguments themselves.
        flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return report(error, as_json="--json" in flags, debug="--debug" in flags)


def _run(arguments: list[str]) -> int:
    import typer

    from fdsearch.cli.app import app

    # Typer's own main() would turn Ctrl-C and closed pipes into bare exit codes, without a word or a document.
    program = typer.main.get_command(app)
    try:
        with program.make_context("fdsearch", arguments) as context:
            program.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as SIGINT does, so that workers are stopped and state is saved."""
    from fdsearch.errors import Interrupted

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # A signal that the caller had ignored (nohup) stays ignored.
    caught = [getattr(signal, name) for name in names if signal.getsignal(getattr(signal, name)) == signal.SIG_DFL]
    for number in caught:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
