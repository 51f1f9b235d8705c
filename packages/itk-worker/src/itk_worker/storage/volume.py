"""Keeps artifacts on the network volume."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path
from urllib.parse import quote

from attrs import frozen

from .artifacts import Artifacts, Published, StorageError


@frozen(kw_only=True)
class VolumeOutbox:
    """Copies each artifact beside its final name and renames it, so no half file is ever seen."""

    root: Path
    base_url: str | None = None  # where a proxy serves the volume

    def publish(self, artifacts: Artifacts, *, stem: str) -> Published:
        """Keep the files below the volume's root.

        Raises:
            StorageError: the volume is missing, full, read-only, or a link leads out of it.
        """
        folder = (self.root / stem).parent
        try:
            self._make(folder)
            for source, extension in _files(artifacts):
                _place(source, self.root / f"{stem}{extension}")
        except OSError as error:
            raise _explained(error, self.root) from error
        return Published(
            key=f"{stem}.mp4",
            path=str(self.root / f"{stem}.mp4"),
            url=self._url(f"{stem}.mp4"),
            thumbnail_url=self._url(f"{stem}.jpg"),
            metadata_url=self._url(f"{stem}.json"),
        )

    def _make(self, folder: Path) -> None:
        if not self.root.is_dir():
            message = f"the volume is not mounted: {self.root} is not a folder"
            raise StorageError(message, reason="no_volume")
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.resolve().is_relative_to(self.root.resolve()):
            message = "output_config.prefix leads out of the volume through a link"
            raise StorageError(message, reason="invalid_key")

    def _url(self, key: str) -> str | None:
        return None if self.base_url is None else f"{self.base_url.rstrip('/')}/{quote(key)}"


def _files(artifacts: Artifacts) -> tuple[tuple[Path, str], ...]:
    # the video last: who sees it sees its companions too
    return (
        (artifacts.metadata, ".json"),
        (artifacts.thumbnail, ".jpg"),
        (artifacts.video, ".mp4"),
    )


def _place(source: Path, target: Path) -> None:
    part = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with source.open("rb") as reading, part.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1024 * 1024)
            writing.flush()
            os.fsync(writing.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _explained(error: OSError, root: Path) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(f"the volume {root} is full", reason="no_space")
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return StorageError(f"the volume {root} cannot be written to", reason="read_only")
    return StorageError(
        f"the volume {root} failed: {error.strerror or error}", reason="volume", retryable=True
    )
