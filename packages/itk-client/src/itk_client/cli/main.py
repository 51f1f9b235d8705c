"""Reads the command line, runs the command, and turns its end into an exit code."""

from __future__ import annotations

import contextlib
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from itk_client.errors import EndpointProcessError, ItkError

from .exits import INTERRUPTED, MEANINGS, OK, TERMINATED, USAGE, error_object, exit_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from cyclopts import App

NAMES = (
    "generate",
    "submit",
    "status",
    "wait",
    "result",
    "download",
    "cancel",
    "retry",
    "health",
    "validate",
    "local",
    "demo",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says how it ended."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> object:
        return build_app()(
            given, exit_on_error=False, print_error=True, result_action="return_value"
        )

    return run(command, is_json="--json" in given)


def run(command: Callable[[], object], *, is_json: bool = False) -> int:
    """Run something that a person started, say on stderr how it failed, and return its code."""
    from cyclopts import CycloptsError

    try:
        with _terminable():
            code = command()
    except CycloptsError:
        return USAGE
    except ItkError as error:
        _tell(error, is_json=is_json)
        return exit_code(error)
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def build_app() -> App:
    """The command line as cyclopts sees it."""
    from cyclopts import App

    from . import commands

    meanings = ", ".join(f"{code} {words}" for code, words in MEANINGS.items())
    app = App(
        name="itk",
        help="Talking videos from a picture and speech, on a Runpod endpoint or on this machine.",
        version=lambda: version("itk-client"),
        help_format="plaintext",
        help_epilogue=f"Exit codes: {meanings}.",
        suppress_keyboard_interrupt=False,
    )
    for name in NAMES:
        app.command(getattr(commands, name), name=name)
    return app


def _tell(error: ItkError, *, is_json: bool) -> None:
    if is_json:
        from .screen import print_json

        print_json(error_object(error))
    sys.stderr.write(f"itk: {error}\n")
    if isinstance(error, EndpointProcessError) and error.log_tail:
        sys.stderr.write(f"--- the end of its log ---\n{error.log_tail}\n")


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM unwind like an exception, so that every `with` closes."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
