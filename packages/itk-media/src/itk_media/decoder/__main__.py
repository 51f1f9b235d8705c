"""Serves one file: takes an order on standard input, answers on standard output."""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from itk_media.decoder.confinement import confine
from itk_media.decoder.wire import Parent
from itk_media.errors import MediaError, TooLargeError, UnreadableMediaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    Task = Callable[[BinaryIO, dict[str, Any], Parent], None]


def main() -> int:
    """Run the ordered task on the file descriptor given as the only argument."""
    faulthandler.enable()
    parent = Parent(io.FileIO(os.dup(0), "rb"), io.FileIO(os.dup(1), "wb"))
    os.dup2(2, 1)  # a library that prints must not spoil the protocol
    order = parent.next_order()
    if order is None:
        return 0
    confine(order["limits"])
    try:
        with os.fdopen(int(sys.argv[1]), "rb") as file:
            _task(order["task"])(file, order, parent)
    except MediaError as error:
        parent.failure(type(error).__name__, error.message, error.reason)
    except MemoryError:
        message = "the file needs more memory to decode than is allowed"
        parent.failure(TooLargeError.__name__, message, "too_large")
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001  the one edge of this process
        words = f"the file cannot be decoded: {type(error).__name__}: {error}"
        parent.failure(UnreadableMediaError.__name__, words[:500], "unreadable")
    return 0


def _task(name: str) -> Task:
    """Import only what the task needs: a picture must not wait for FFmpeg to load."""
    if name == "picture":
        from itk_media.decoder.pictures import send_picture

        return send_picture
    if name == "probe":
        from itk_media.decoder.probing import send_probe

        return send_probe
    if name == "speech":
        from itk_media.decoder.speeches import send_speech

        return send_speech
    if name == "cuts":
        from itk_media.decoder.cuts import send_cuts

        return send_cuts
    from itk_media.decoder.videos import serve_frames

    return serve_frames


if __name__ == "__main__":
    sys.exit(main())
