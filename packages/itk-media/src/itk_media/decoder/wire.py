"""The messages between a process and its decoder: a kind, a length, then bytes."""

from __future__ import annotations

import json  # noqa: TID251  a private protocol between two processes, not the contract
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

ORDER = b"o"
FACTS = b"f"
DATA = b"d"
FAILURE = b"x"

HEADER = struct.Struct("<cQ")
LARGEST_TEXT_BYTES = 1 << 20
LARGEST_DATA_BYTES = 1 << 30
DATA_PART_BYTES = 1 << 22


def pack_facts(kind: bytes, facts: dict[str, Any]) -> bytes:
    """Return one message that carries a small JSON object."""
    body = json.dumps(facts, allow_nan=False).encode()
    return HEADER.pack(kind, len(body)) + body


def unpack_facts(body: bytes) -> dict[str, Any]:
    """Return the object of a message; raises ValueError for anything else."""
    facts = json.loads(body)
    if not isinstance(facts, dict):
        message = f"a decoder message must be an object, got {type(facts).__name__}"
        raise ValueError(message)  # noqa: TRY004  the sender's fault, not the caller's type
    return facts


class Parent:
    """The process that wants something decoded: gives orders, takes answers."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    def next_order(self) -> dict[str, Any] | None:
        """Wait for the next order; None when the parent has hung up."""
        head = self._read(HEADER.size)
        if len(head) < HEADER.size:
            return None
        _, size = HEADER.unpack(head)
        return unpack_facts(self._read(size))

    def facts(self, facts: dict[str, Any]) -> None:
        """Send a small object."""
        self._write(pack_facts(FACTS, facts))

    def data(self, body: memoryview | bytes) -> None:
        """Send bytes, in parts that a reader can take with bounded memory."""
        view = memoryview(body).cast("B")
        for start in range(0, len(view), DATA_PART_BYTES):
            part = view[start : start + DATA_PART_BYTES]
            self._write(HEADER.pack(DATA, len(part)))
            self._write(part)

    def failure(self, name: str, message: str, reason: str) -> None:
        """Send what went wrong, under the name of one of our exceptions."""
        self._write(pack_facts(FAILURE, {"error": name, "message": message, "reason": reason}))

    def _read(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size and (part := self._source.read(size - len(taken))):
            taken += part
        return taken

    def _write(self, body: memoryview | bytes) -> None:
        """Write all of it: a raw pipe may take less at a time."""
        view = memoryview(body)
        while view:
            view = view[self._sink.write(view) :]
