"""Brings local files to where a worker can read them."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from itk_schema import limits, parse_json

from .errors import ApiError, BadReplyError, ConnectionFailedError, UploadRequiredError
from .redaction import redacted
from .settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx2

    from .preparing import LocalFile
    from .sending import Courier

_PIECE_BYTES = 1 << 18
_NOT_OFFERED = {404, 405, 501}


def place_files(
    http: httpx2.Client, files: tuple[LocalFile, ...], *, courier: Courier
) -> dict[str, str]:
    """What to write into the job for each file: a path on a local endpoint, else its content.

    Raises:
        UploadRequiredError: when the files are too large to travel inside the request.
    """
    import httpx2

    places: dict[str, str] = {}
    if files and is_loopback(courier.settings.base_url):
        for file in files:
            put = _Put(file, courier)
            try:
                response = http.put(
                    put.url, content=put.pieces(), headers=put.headers, follow_redirects=False
                )
            except httpx2.HTTPError as error:
                raise put.failed(error) from error
            path = put.answered(response)
            if path is None:
                return inline_files(files)
            places[file.place] = path
        return places
    return inline_files(files)


async def place_files_async(
    http: httpx2.AsyncClient, files: tuple[LocalFile, ...], *, courier: Courier
) -> dict[str, str]:
    """The same for asyncio."""
    import httpx2

    places: dict[str, str] = {}
    if files and is_loopback(courier.settings.base_url):
        for file in files:
            put = _Put(file, courier)
            try:
                response = await http.put(
                    put.url, content=put.pieces_async(), headers=put.headers, follow_redirects=False
                )
            except httpx2.HTTPError as error:
                raise put.failed(error) from error
            path = put.answered(response)
            if path is None:
                return inline_files(files)
            places[file.place] = path
        return places
    return inline_files(files)


def inline_files(files: tuple[LocalFile, ...]) -> dict[str, str]:
    """The files as data: URIs.

    Raises:
        UploadRequiredError: when all files together are larger than a request carries.
    """
    total = sum(file.bytes for file in files)
    if total > limits.MAX_INLINE_MEDIA_BYTES:
        raise UploadRequiredError(
            files=tuple(file.path.name for file in files),
            total_bytes=total,
            limit_bytes=limits.MAX_INLINE_MEDIA_BYTES,
        )
    return {file.place: data_uri(file) for file in files}


def data_uri(file: LocalFile) -> str:
    """The content of a file as a data: URI."""
    return f"data:{file.mime};base64,{base64.b64encode(file.path.read_bytes()).decode('ascii')}"


class _Put:
    """One file on its way to an endpoint on this machine."""

    def __init__(self, file: LocalFile, courier: Courier) -> None:
        self._file = file
        self._courier = courier
        name = f"{_digest(file.path)}-{_plain_name(file.path)}"
        self.path = f"/files/incoming/{quote(name)}"
        self.url = f"{courier.settings.origin}{self.path}"
        self.headers = {
            **courier.headers(),
            "Content-Type": file.mime,
            "Content-Length": str(file.bytes),
        }

    def pieces(self) -> Iterator[bytes]:
        with self._file.path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    async def pieces_async(self) -> AsyncIterator[bytes]:
        for piece in self.pieces():
            yield piece

    def failed(self, error: Exception) -> ConnectionFailedError:
        message = f"{self._file.path.name} could not be uploaded: {redacted(error)}"
        return ConnectionFailedError(message=message)

    def answered(self, response: httpx2.Response) -> str | None:
        if response.status_code in _NOT_OFFERED:
            return None
        if not response.is_success:
            raise ApiError(
                status=response.status_code,
                method="PUT",
                path=self.path,
                body=response.text[:300],
            )
        try:
            said: Any = parse_json(response.content)
        except ValueError:
            said = None
        path = said.get("path") if isinstance(said, dict) else None
        if not isinstance(path, str) or not path:
            message = f"the endpoint took {self._file.path.name} and did not say where it is"
            raise BadReplyError(message=message)
        return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _plain_name(path: Path) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:40] or "file"
    suffix = path.suffix.lower()
    return stem + (suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else "")
