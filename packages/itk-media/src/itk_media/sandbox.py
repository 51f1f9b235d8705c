"""Runs the decoder of one file in a process of its own, within limits."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
import weakref
from typing import IO, TYPE_CHECKING, Any, Self

from attrs import asdict, frozen

from . import errors
from .decoder.wire import DATA, FACTS, FAILURE, HEADER, LARGEST_TEXT_BYTES, ORDER
from .decoder.wire import pack_facts as pack
from .decoder.wire import unpack_facts as unpack
from .errors import DecoderError, InvalidSourceError, MediaError, UnreadableMediaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_READ_BYTES = 1 << 20
_TAIL_BYTES = 2048
_LOOK_SECONDS = 0.1  # how often a wait looks whether it is still wanted


@frozen(kw_only=True)
class DecoderLimits:
    """What a decoding process may use, and how large a file's content may be."""

    memory_bytes: int = 4 << 30
    cpu_seconds: int = 900
    answer_seconds: float = 120.0
    max_pixels: int = 40_000_000
    max_frames: int = 1_000_000
    max_seconds: float = 4 * 3600.0


DEFAULT_LIMITS = DecoderLimits()


@frozen
class _Child:
    """The running process and its pipes, apart from ``Decoder`` so that both can be collected."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def stop(self) -> None:
        """Kill the process's whole group and close every pipe; harmless when done before."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            if pipe is not None:
                pipe.close()


class Decoder:
    """A process that decodes one file: ``ask`` it, and it answers or fails precisely.

    ``check`` is called now and then while an answer is waited for; what it raises ends the wait.
    """

    def __init__(
        self,
        path: Path,
        task: str,
        limits: DecoderLimits,
        *,
        check: Callable[[], None] | None = None,
        **order: Any,
    ) -> None:
        self._limits = limits
        self._check = check or (lambda: None)
        with _open_regular(path) as file:
            log = tempfile.TemporaryFile()  # noqa: SIM115  closed by _Child.stop
            self._child = _Child(_start(file.fileno(), log), log)
        self._stop = weakref.finalize(self, self._child.stop)
        self._buffer = bytearray()
        assert self._child.process.stdout is not None  # noqa: S101  asked for a pipe
        self._output = self._child.process.stdout.fileno()
        os.set_blocking(self._output, False)
        self.send({"task": task, "limits": asdict(limits), **asdict(limits), **order})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.process.pid

    def close(self) -> None:
        """End the process; harmless when it has ended."""
        self._stop()

    def send(self, order: dict[str, Any]) -> None:
        """Ask for something; the answer is read by ``facts`` and ``data``."""
        if not self._stop.alive:
            raise DecoderError("the decoder of this file has ended", "decoder_ended")
        pipe = self._child.process.stdin
        assert pipe is not None  # noqa: S101  asked for a pipe
        try:
            pipe.write(pack(ORDER, order))
            pipe.flush()
        except BrokenPipeError:
            self._deadline = time.monotonic() + 5.0
            raise self._ended() from None
        self.wait_longer()

    def wait_longer(self) -> None:
        """Start the time for an answer anew, after a sign of life."""
        self._deadline = time.monotonic() + self._limits.answer_seconds

    def facts(self) -> dict[str, Any]:
        """Return the next small object of the answer."""
        return unpack(self._message(FACTS, LARGEST_TEXT_BYTES))

    def data(self, size: int) -> bytearray:
        """Return exactly ``size`` bytes of the answer."""
        body = bytearray(size)
        filled = 0
        while filled < size:
            part = self._message(DATA, size - filled)
            body[filled : filled + len(part)] = part
            filled += len(part)
        return body

    def _message(self, wanted: bytes, most_bytes: int) -> bytes:
        kind, size = HEADER.unpack(self._take(HEADER.size))
        if kind == FAILURE and size <= LARGEST_TEXT_BYTES:
            raise self._failure(unpack(self._take(size)))
        if kind != wanted or not 0 < size <= most_bytes:
            self.close()
            raise DecoderError("the decoder answered out of turn", reason="decoder_crashed")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        """Read ``size`` bytes, or fail when the process ends or its time is up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while len(self._buffer) < size:
                left = self._deadline - time.monotonic()
                if not selector.select(max(0.0, min(left, _LOOK_SECONDS))):
                    self._check()
                    if left <= 0:
                        raise self._overdue()
                    continue
                part = os.read(self._output, _READ_BYTES)
                if not part:
                    raise self._ended()
                self._buffer += part
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _failure(self, facts: dict[str, Any]) -> MediaError:
        """Turn a reported failure into its exception; only our own names are believed."""
        self.close()
        kind = getattr(errors, str(facts.get("error")), UnreadableMediaError)
        if not (isinstance(kind, type) and issubclass(kind, MediaError)):
            kind = UnreadableMediaError
        return kind(redact(str(facts.get("message")))[:1000], str(facts.get("reason"))[:50])

    def _overdue(self) -> DecoderError:
        tail = self._tail()
        self.close()
        message = f"decoding took longer than the {self._limits.answer_seconds:.0f} s allowed"
        return DecoderError(message, "decoder_timeout", log_tail=tail)

    def _ended(self) -> DecoderError:
        try:
            code = self._child.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            code = 0
        tail = self._tail()
        self.close()
        if code in {-signal.SIGXCPU, -signal.SIGKILL}:
            message = "decoding was stopped: it used more processor time or memory than allowed"
            return DecoderError(message, "decoder_limits", log_tail=tail)
        message = f"the decoder ended with status {code} on this file"
        return DecoderError(message, "decoder_crashed", log_tail=tail)

    def _tail(self) -> str:
        log = self._child.log
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - _TAIL_BYTES))
        return redact(log.read(_TAIL_BYTES).decode(errors="replace"))


def redact(text: str) -> str:
    """Take addresses and paths out of a decoder's words."""
    without_urls = re.sub(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+", "<address>", text)
    return re.sub(r"(?<![\w<])/(?:[^\s:'\",]+/)+([^\s:'\",/]*)", r"<path>/\1", without_urls)


def _start(descriptor: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the decoder with one open file and none of our environment."""
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-m", "itk_media.decoder", str(descriptor)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        pass_fds=(descriptor,),
        start_new_session=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _open_regular(path: Path) -> IO[bytes]:
    """Open a plain file; links, devices and pipes are refused without waiting on them."""
    try:
        descriptor = os.open(
            path.resolve(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except (OSError, ValueError) as error:
        message = f"the file cannot be opened: {getattr(error, 'strerror', error)}"
        raise InvalidSourceError(message, "not_found") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidSourceError("the source is not a regular file", "not_regular")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")
