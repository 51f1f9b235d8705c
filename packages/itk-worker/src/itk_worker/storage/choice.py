"""Chooses where a job's artifacts go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .artifacts import Outbox, StorageError
from .inline import InlineOutbox
from .volume import VolumeOutbox

if TYPE_CHECKING:
    from itk_schema import OutputConfig
    from itk_worker.settings import Settings

Store = Literal["s3", "volume", "inline"]


def choose_outbox(config: OutputConfig | None, settings: Settings) -> Outbox:
    """The outbox that the job asks for: s3 if configured, else the volume, else inline.

    Raises:
        StorageError: this worker does not have what the job asks for.
    """
    store = (config.store if config else None) or default_store(settings)
    if store == "inline":
        return InlineOutbox(limit_bytes=settings.output_limit_bytes)
    if store == "volume":
        if not settings.volume_dir.is_dir():
            message = (
                f"output_config.store is 'volume', and no volume is mounted at "
                f"{settings.volume_dir}"
            )
            raise StorageError(message, reason="no_volume")
        return VolumeOutbox(root=settings.volume_dir, base_url=settings.volume_url)
    message = "this worker cannot store to s3 yet"
    hint = "Set output_config.store to 'volume' or 'inline'."
    raise StorageError(message, reason="not_available", hint=hint)


def default_store(settings: Settings) -> Store:
    """Where artifacts go when a job does not say."""
    if settings.s3_bucket:
        return "s3"
    return "volume" if settings.volume_dir.is_dir() else "inline"
