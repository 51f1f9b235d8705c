"""Runs a local endpoint: `python -m itk_worker.local --volume DIR`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .bodies import dump_json
from .endpoint import EndpointOptions, Listening, end_quietly_on_signals, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_VOLUME = Path("itk-volume")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; the exit status."""
    chosen = _parser().parse_args(arguments)
    with contextlib.ExitStack() as stack:
        output = sys.stderr.fileno()
        if chosen.log:
            output = stack.enter_context(chosen.log.open("ab")).fileno()
        options = EndpointOptions(
            volume=chosen.volume,
            port=chosen.port,
            workers=chosen.workers,
            api_key=chosen.api_key,
            worker_output=output,
        )
        end_quietly_on_signals()
        if chosen.until_stdin_ends:
            threading.Thread(target=_end_with_stdin, daemon=True).start()
        try:
            asyncio.run(serve(options, on_listening=_announcer(chosen.announce)))
        except OSError as error:
            sys.stderr.write(f"the endpoint cannot listen on port {chosen.port}: {error}\n")
            return 1
    return 0


def _end_with_stdin() -> None:
    """Outlive nobody: whoever holds the other end of stdin is gone once it ends."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _announcer(target: str):  # noqa: ANN202
    def announce(listening: Listening) -> None:
        line = dump_json(
            {"event": "listening", "url": listening.url, "files_url": listening.files_url}
        ).decode()
        if target == "stdout":
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            return
        part = Path(f"{target}.{os.getpid()}.part")
        part.write_text(line + "\n", encoding="utf-8")
        part.replace(target)

    return announce


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m itk_worker.local",
        description="A Runpod endpoint on this machine, with real workers. 127.0.0.1 only.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument(
        "--volume", type=Path, default=DEFAULT_VOLUME, help="folder for files in and out"
    )
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--api-key", default=None, help="what clients must show; unset: nothing")
    parser.add_argument(
        "--announce", default="stdout", help="'stdout' or a file for the line that says where"
    )
    parser.add_argument("--log", type=Path, default=None, help="file for the workers' log")
    parser.add_argument(
        "--until-stdin-ends", action="store_true", help="end when standard input does"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
