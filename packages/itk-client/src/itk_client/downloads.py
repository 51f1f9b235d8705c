"""Brings a file of a result to this disk: whole, checked, or not at all."""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import unquote_to_bytes, urlsplit

from attrs import field, frozen

from .errors import DownloadError

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from .pacing import Clock, RetryPolicy

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where known, the bytes that there will be."""

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@frozen(kw_only=True)
class Source:
    """Where a file is, and how to know that it is the right one."""

    url: str = field(repr=False)
    bytes: int | None = None
    sha256: str | None = None


class Transfer:
    """One file on its way: written beside its final name and moved there when it is proven.

    What has arrived of a file with a known hash is kept under a name made from that hash, so
    that a later call goes on where this one stopped.
    """

    def __init__(self, source: Source, target: Path, *, on_bytes: OnBytes | None = None) -> None:
        self.target = target
        self._source = source
        self._on_bytes = on_bytes
        mark = source.sha256[:16] if source.sha256 else secrets.token_hex(8)
        self._part = target.with_name(f".{target.name}.{mark}.part")
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._total = source.bytes
        self._expected: int | None = None
        self.arrived = 0

    def __enter__(self) -> Self:
        with self._disk():
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("a+b")
            self._file.seek(0)
            while piece := self._file.read(1 << 20):
                self._hash.update(piece)
                self.arrived += len(piece)
        full = self._source.bytes is not None and self.arrived >= self._source.bytes
        if full and not self.is_whole():
            self._restart()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
        resumable = self._source.sha256 is not None and self._source.url.startswith("http")
        if not resumable or self.arrived == 0:
            self._part.unlink(missing_ok=True)

    def already_there(self) -> bool:
        """Whether the target already is this file, by its hash."""
        if self._source.sha256 is None or not self.target.is_file():
            return False
        with self.target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self._source.sha256

    def is_whole(self) -> bool:
        """Whether an earlier call already brought every byte."""
        return self._source.sha256 is not None and self._hash.hexdigest() == self._source.sha256

    def headers(self) -> dict[str, str]:
        """Headers for the next try: no compression, and the rest only."""
        headers = {"Accept-Encoding": "identity"}
        if self.arrived:
            headers["Range"] = f"bytes={self.arrived}-"
        return headers

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of how an answer begins; start over where the server ignored the range."""
        if status == 206:
            found = _RANGE.match(headers.get("content-range", ""))
            if found is None or int(found[1]) != self.arrived:
                self._restart()
                raise _AgainError("the server sent another range than was asked for")
            self._expected = int(found[2]) + 1
        else:
            if self.arrived:
                self._restart()
            length = headers.get("content-length", "")
            plain = headers.get("content-encoding", "identity") == "identity"
            self._expected = int(length) if plain and length.isdigit() else None
        self._total = self._source.bytes if self._source.bytes is not None else self._expected

    def feed(self, piece: bytes) -> None:
        """Write what came."""
        limit = self._source.bytes
        if limit is not None and self.arrived + len(piece) > limit:
            self._restart()
            message = f"the file is longer than the {limit} bytes that the result states"
            raise DownloadError(message=message)
        with self._disk():
            self._open_file().write(piece)
        self._hash.update(piece)
        self.arrived += len(piece)
        if self._on_bytes:
            self._on_bytes(self.arrived, self._total)

    def is_complete(self) -> bool:
        """Whether all bytes that were announced are there."""
        return self._total is None or self.arrived >= self._total

    def finish(self) -> Path:
        """Check size and hash, flush to the disk, and give the file its name.

        Raises:
            DownloadError: when it is not the file that the result names.
        """
        if not self.is_complete():
            message = f"{self.arrived} of {self._total} bytes arrived"
            raise _AgainError(message)
        if self._source.sha256 and self._hash.hexdigest() != self._source.sha256.lower():
            self._restart()
            message = "the file's content is not the one that the result names (sha256 differs)"
            raise DownloadError(message=message)
        with self._disk():
            file = self._open_file()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._part.replace(self.target)
        return self.target

    def _restart(self) -> None:
        with self._disk():
            file = self._open_file()
            file.seek(0)
            file.truncate()
        self._hash = hashlib.sha256()
        self.arrived = 0

    def _open_file(self) -> BinaryIO:
        if self._file is None:
            message = "a transfer is used inside `with`"
            raise RuntimeError(message)
        return self._file

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or "?")
            message = f"{self.target} cannot be written: {why}"
            raise DownloadError(message=message) from error


class _AgainError(Exception):
    """The try failed in a way that another one may mend."""


def download(
    http: httpx2.Client,
    source: Source,
    target: Path,
    *,
    clock: Clock,
    retry: RetryPolicy,
    on_bytes: OnBytes | None = None,
) -> Path:
    """The file under its name; interrupted transfers go on where they stopped.

    No API key is sent, and redirects are followed only to http and https.

    Raises:
        DownloadError: when the file cannot be had whole; nothing is then left under its name.
    """
    with Transfer(source, target, on_bytes=on_bytes) as transfer:
        if transfer.already_there():
            return target
        if (inline := _inline(source.url)) is not None:
            transfer.answered(200, {})
            transfer.feed(inline)
            return _finished_inline(transfer)
        if transfer.is_whole():
            return transfer.finish()
        tries = _Tries(retry, clock=clock)
        while True:
            before = transfer.arrived
            try:
                with http.stream(
                    "GET", source.url, headers=transfer.headers(), follow_redirects=True
                ) as response:
                    _accept(response, transfer)
                    for piece in response.iter_bytes():
                        transfer.feed(piece)
                return transfer.finish()
            except _passing() as error:
                clock.sleep(tries.pause(error, moved=transfer.arrived > before))


async def download_async(
    http: httpx2.AsyncClient,
    source: Source,
    target: Path,
    *,
    clock: Clock,
    retry: RetryPolicy,
    on_bytes: OnBytes | None = None,
) -> Path:
    """The same for asyncio."""
    with Transfer(source, target, on_bytes=on_bytes) as transfer:
        if transfer.already_there():
            return target
        if (inline := _inline(source.url)) is not None:
            transfer.answered(200, {})
            transfer.feed(inline)
            return _finished_inline(transfer)
        if transfer.is_whole():
            return transfer.finish()
        tries = _Tries(retry, clock=clock)
        while True:
            before = transfer.arrived
            try:
                async with http.stream(
                    "GET", source.url, headers=transfer.headers(), follow_redirects=True
                ) as response:
                    _accept(response, transfer)
                    async for piece in response.aiter_bytes():
                        transfer.feed(piece)
                return transfer.finish()
            except _passing() as error:
                await clock.sleep_async(tries.pause(error, moved=transfer.arrived > before))


class _Tries:
    """Counts the failures in a row; a try that brought something forward starts the count again."""

    def __init__(self, retry: RetryPolicy, *, clock: Clock) -> None:
        self._retry, self._clock, self._failures = retry, clock, 0

    def pause(self, error: Exception, *, moved: bool) -> float:
        self._failures = 1 if moved else self._failures + 1
        if self._failures >= self._retry.tries:
            message = f"the download failed: {type(error).__name__}: {error}"
            raise DownloadError(message=message.replace("_AgainError: ", "")) from None
        return self._retry.pause_seconds(self._failures, chance=self._clock.chance())


def _passing() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.TransportError, _AgainError)


def _accept(response: httpx2.Response, transfer: Transfer) -> None:
    status = response.status_code
    if status in {200, 206}:
        transfer.answered(status, response.headers)
        return
    if status in {408, 416, 429} or status >= 500:
        if status == 416:
            transfer.answered(200, {})
        message = f"HTTP {status}"
        raise _AgainError(message)
    advice = (
        "; the link has expired or was withdrawn: ask for the job's result again"
        if status in {401, 403, 404, 410}
        else ""
    )
    raise DownloadError(message=f"HTTP {status} for {response.url}{advice}")


def _finished_inline(transfer: Transfer) -> Path:
    try:
        return transfer.finish()
    except _AgainError as error:
        raise DownloadError(message=f"the inline file is not whole: {error}") from None


def _inline(url: str) -> bytes | None:
    scheme = urlsplit(url[:4096]).scheme.lower()
    if scheme in {"http", "https"}:
        return None
    if scheme != "data":
        message = f"an http(s) or data: address was needed, got {url[:40]!r}"
        raise DownloadError(message=message)
    head, _, text = url.partition(",")
    try:
        if head.lower().endswith(";base64"):
            return base64.b64decode(text, validate=True)
        return unquote_to_bytes(text)
    except binascii.Error as error:
        raise DownloadError(message=f"the inline file cannot be read: {error}") from None
