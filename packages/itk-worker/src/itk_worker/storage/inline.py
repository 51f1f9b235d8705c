"""Puts artifacts into the result itself, as data: URIs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from attrs import frozen

from .artifacts import Artifacts, Published, StorageError

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_BYTES = 200_000  # for everything else that a result says


@frozen(kw_only=True)
class InlineOutbox:
    """For small videos only: Runpod drops a result over its limit without a word."""

    limit_bytes: int

    def publish(self, artifacts: Artifacts, *, stem: str) -> Published:
        """The files as data: URIs.

        Raises:
            StorageError: together they are too large for a result.
        """
        files = (artifacts.video, artifacts.thumbnail, artifacts.metadata)
        needed = sum(_encoded_size(file) for file in files) + RESERVE_BYTES
        if needed > self.limit_bytes:
            message = (
                f"the video is too large to be returned inline: the result would have {needed} "
                f"bytes, at most {self.limit_bytes} are possible"
            )
            hint = "Set output_config.store to 'volume' or 's3', or make a shorter video."
            raise StorageError(message, reason="too_large", hint=hint)
        return Published(
            key=f"{stem}.mp4",
            url=_data_uri(artifacts.video, "video/mp4"),
            thumbnail_url=_data_uri(artifacts.thumbnail, "image/jpeg"),
            metadata_url=_data_uri(artifacts.metadata, "application/json"),
        )


def _encoded_size(file: Path) -> int:
    return (file.stat().st_size + 2) // 3 * 4


def _data_uri(file: Path, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
