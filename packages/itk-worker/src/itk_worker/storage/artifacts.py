"""Says what an outbox takes and what it gives back."""

from pathlib import Path
from typing import Protocol

from attrs import define, frozen


@define
class StorageError(Exception):
    """The artifacts of a job cannot be kept where the job wants them."""

    message: str
    reason: str
    retryable: bool = False
    hint: str | None = None

    def __str__(self) -> str:
        return self.message


@frozen(kw_only=True)
class Artifacts:
    """The three files of one video, in the job's own temporary folder."""

    video: Path
    thumbnail: Path
    metadata: Path


@frozen(kw_only=True)
class Published:
    """Where the artifacts can be had now."""

    key: str | None = None
    path: str | None = None
    url: str | None = None
    thumbnail_url: str | None = None
    metadata_url: str | None = None


class Outbox(Protocol):
    """One way to keep artifacts; publishing the same key again replaces what was there."""

    def publish(self, artifacts: Artifacts, *, stem: str) -> Published:
        """Keep the files as `{stem}.mp4`, `.jpg` and `.json`; StorageError when that fails."""
        ...
