"""Where finished artifacts go: the volume, the result itself, or an object store."""

from .artifacts import Artifacts, Outbox, Published, StorageError
from .choice import choose_outbox

__all__ = ["Artifacts", "Outbox", "Published", "StorageError", "choose_outbox"]
