"""Brings any media string to a local file of a known type."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from attrs import evolve, field, frozen

from .errors import InvalidSourceError, MediaError, TooLargeError, UnsupportedMediaError
from .inline import decode_base64, decode_data_uri, is_media_base64
from .rules import DownloadRules
from .sniff import HEAD_BYTES, FileType, sniff
from .volume import open_below

if TYPE_CHECKING:
    from collections.abc import Callable

MediaKind = Literal["picture", "speech", "mask"]
_FAMILIES = {
    "picture": {"image", "container"},
    "speech": {"audio", "container"},
    "mask": {"image"},
}
_WORDS = {
    "picture": "a picture or video",
    "speech": "a sound file or a video with sound",
    "mask": "a picture",
}
_COPY_BYTES = 1 << 20


@frozen(kw_only=True)
class LocalFile:
    """A fetched file: its place, size and true type."""

    path: Path
    bytes: int
    mime: str


@frozen(kw_only=True)
class Fetcher:
    """Fetches media strings within limits.

    Attributes:
        roots: folders below which a path may lie; none means that paths are refused.
        allow_private: let addresses be loopback or private (tests, a local endpoint).
        max_bytes: the largest file of each kind; by default what the contract allows.
        rules: further rules for downloads; ``allow_private`` is taken from here too.
    """

    roots: tuple[Path, ...] = ()
    allow_private: bool = False
    max_bytes: Mapping[MediaKind, int] = field(factory=lambda: contract_limits())  # noqa: PLW0108  defined below
    rules: DownloadRules = field(factory=DownloadRules)

    def fetch(self, source: str, *, kind: MediaKind, into: Path) -> LocalFile:
        """Bring ``source`` into the folder ``into`` under a name of our own.

        Tried in this order: ``data:`` URI, http(s) address, base64 text of a known media
        type, path below one of the roots. What arrives is judged by its first bytes, never
        by its name. Raises a MediaError whose ``reason`` says why.
        """
        write = self._writer(source, self.max_bytes[kind])
        part = Path(tempfile.mkstemp(prefix=f"{kind}-", suffix=".part", dir=into)[1])
        try:
            with part.open("r+b") as sink:
                write(sink)
                size = sink.tell()
                sink.seek(0)
                found = _checked_type(sink.read(HEAD_BYTES), kind)
            path = part.with_suffix(found.extension)
            part.replace(path)
        except OSError as error:
            message = f"the {kind} could not be stored: {error.strerror}"
            raise MediaError(message, "no_space" if error.errno == 28 else "storage") from error
        finally:
            part.unlink(missing_ok=True)
        return LocalFile(path=path, bytes=size, mime=found.mime)

    def _writer(self, source: str, most: int) -> Callable[[IO[bytes]], object]:
        if source[:5].lower() == "data:":
            return lambda sink: sink.write(decode_data_uri(source, most))
        if source[:8].lower().startswith(("http://", "https://")):
            return lambda sink: self._download(source, sink, most)
        if is_media_base64(source):
            return lambda sink: sink.write(decode_base64(source, most))
        if "://" in source[:32]:
            scheme = source.partition("://")[0]
            message = f"addresses must begin with http:// or https://, got {scheme[:16]!r}"
            raise InvalidSourceError(message, "bad_scheme")
        return lambda sink: self._copy(source, sink, most)

    def _download(self, source: str, sink: IO[bytes], most: int) -> None:
        from .download import download

        private = self.allow_private or self.rules.allow_private
        rules = evolve(self.rules, allow_private=private)
        download(source, sink, max_bytes=most, rules=rules)

    def _copy(self, source: str, sink: IO[bytes], most: int) -> None:
        """Copy from the volume, so that a job's input cannot change under it."""
        with open_below(source, self.roots) as file:
            if file.seek(0, 2) > most:
                raise TooLargeError(f"the file has more than the {most} bytes allowed")
            file.seek(0)
            shutil.copyfileobj(file, sink, _COPY_BYTES)


def contract_limits() -> dict[MediaKind, int]:
    """Return the largest file of each kind that the job contract allows, in bytes."""
    from itk_schema import limits

    return {
        "picture": limits.MAX_PICTURE_BYTES,
        "speech": limits.MAX_SPEECH_BYTES,
        "mask": limits.MAX_MASK_BYTES,
    }


def _checked_type(head: bytes, kind: MediaKind) -> FileType:
    found = sniff(head)
    if found is not None and found.family in _FAMILIES[kind]:
        return found
    came = found.mime if found else _guess(head)
    raise UnsupportedMediaError(f"{_WORDS[kind]} is needed here, got {came}")


def _guess(head: bytes) -> str:
    """Name what people send by mistake."""
    start = head[:64].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if start.startswith(b"#extm3u"):
        return "a playlist"
    if start.startswith((b"<?xml", b"<svg", b"%pdf", b"%!ps", b"8bps")):
        return "a document (SVG, PDF, EPS, PSD and the like are not accepted)"
    return "a file of an unknown type" if head else "an empty file"
