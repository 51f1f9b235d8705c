"""Reads a folder of golden cases: inputs and outputs of another implementation."""

from __future__ import annotations

import json  # noqa: TID251  a manifest of test data, not the job contract
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from safetensors.torch import load_file

from itk_engine.errors import MissingWeightsError, WeightsUnreadableError

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True)
class Case:
    """One entry of the manifest: its name, its kind (a letter) and what it says."""

    name: str
    kind: str
    folder: Path
    entry: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        """Return one fact of the entry."""
        return self.entry[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return one fact of the entry, or the default where it says nothing."""
        return self.entry.get(key, default)

    def path(self, key: str) -> Path:
        """Return the file that the entry names under this key."""
        return self.folder / self.entry[key]

    def tensors(self, key: str = "io") -> dict[str, Tensor]:
        """Return the content of the safetensors file under this key."""
        path = self.path(key)
        if not path.exists():
            raise MissingWeightsError(path, what=f"golden file of {self.name}")
        return load_file(path)


def read_cases(folder: Path) -> list[Case]:
    """Return every case of a folder, in the manifest's order.

    Raises:
        MissingWeightsError: the folder holds no manifest.json.
        WeightsUnreadableError: the manifest is not what it should be.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise MissingWeightsError(path, what="manifest of golden cases")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["entries"]
        return [
            Case(name=name, kind=entry["kind"], folder=folder, entry=entry)
            for name, entry in entries.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnreadableError(
            path, why=f"not a manifest of golden cases ({error})"
        ) from error
