"""Reads tensors out of checkpoint files, mapped into memory and never executed."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from itk_engine.errors import MissingWeightsError, WeightsMismatchError, WeightsUnreadableError


@frozen(kw_only=True, eq=False)
class Stored:
    """One tensor in a file: its shape is known, its values are read when asked for."""

    file: Path
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


_READERS = 8
# What unpickling damaged bytes raises: each is what some opcode makes of nonsense.
_BROKEN_PICKLE = (
    *(pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, LookupError),
    *(TypeError, AttributeError, AssertionError, ImportError, MemoryError, OverflowError),
)

Entries: TypeAlias = dict[str, Stored]
# Called with a parameter's published name and its values before they become the model's.
Change: TypeAlias = Callable[[str, Tensor], Tensor]


def read_entries(file: Path, *, what: str) -> Entries:
    """Open a safetensors file or a torch pickle of tensors; `what` names it in errors.

    A pickle may hold the tensors themselves or a mapping with them under "state_dict".

    Raises:
        MissingWeightsError: the file does not exist.
        WeightsUnreadableError: it is not what its ending says.
    """
    if not file.is_file():
        raise MissingWeightsError(path=file, what=what)
    if file.suffix == ".safetensors":
        return _safetensors_entries(file)
    return _pickle_entries(file)


def union(parts: Iterable[Entries]) -> Entries:
    """Join the tensors of several files; of equal names the later one wins."""
    joined: Entries = {}
    for part in parts:
        joined.update(part)
    return joined


def require_fit(
    needed: Mapping[str, tuple[int, ...]], entries: Entries, *, home: Callable[[str], Path]
) -> None:
    """Compare the names and shapes that a model needs with those that are stored.

    `home` says where a missing name should have been.

    Raises:
        WeightsMismatchError: for the first file that does not fit, with all that is wrong in it.
    """
    wrong: dict[Path, dict[str, list[str]]] = {}

    def note(file: Path, kind: str, text: str) -> None:
        wrong.setdefault(file, {}).setdefault(kind, []).append(text)

    for name, shape in needed.items():
        if name not in entries:
            note(home(name), "missing", name)
        elif entries[name].shape != tuple(shape):
            came = list(entries[name].shape)
            note(entries[name].file, "misshapen", f"{name}: needed {list(shape)}, came {came}")
    for name, entry in entries.items():
        if name not in needed:
            note(entry.file, "unexpected", name)
    for file, problems in wrong.items():
        raise WeightsMismatchError(
            file=file, **{kind: tuple(names) for kind, names in problems.items()}
        )


def fill(
    model: nn.Module,
    entries: Entries,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    home: Callable[[str], Path],
    change: Change | None = None,
) -> None:
    """Give a model built on the meta device its values, strictly, one tensor at a time.

    Floating-point tensors become `dtype` (None: as stored); every tensor goes straight from the
    mapped file to the device, a few at once, so that no second copy of the model ever exists.
    """
    needed = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    require_fit(needed, entries, home=home)

    def value_of(name: str) -> Tensor:
        value = entries[name].read().to(device)
        if change is not None:
            value = change(name, value)
        if dtype is not None and value.is_floating_point() and value.element_size() > 1:
            value = value.to(dtype)
        return value

    # Several readers keep the storage busy while others copy; a CPU only maps.
    readers = _READERS if device.type == "cuda" else 1
    with ThreadPoolExecutor(readers) as pool:
        values = dict(zip(needed, pool.map(value_of, needed), strict=True))
    model.load_state_dict(values, strict=True, assign=True)
    model.requires_grad_(requires_grad=False).eval()


@contextmanager
def without_values() -> Iterator[None]:
    """Build modules on the meta device: names and shapes, no memory, no random numbers."""
    with _NoRandomNumbers(), torch.device("meta"):
        yield


def identity(files: Iterable[Path]) -> str:
    """Sixteen hex digits that tell weights apart: from names, sizes and samples of the content."""
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as content:
            for sample in range(16):
                content.seek(size * sample // 16)
                digest.update(content.read(65536))
    return digest.hexdigest()[:16]


class _NoRandomNumbers(TorchFunctionMode):
    """Leaves out drawing and scaling initial values, which on meta imports torch's compiler."""

    _IN_PLACE = frozenset(
        {Tensor.normal_, Tensor.uniform_, Tensor.mul_, Tensor.__imul__}
        | {Tensor.mul, Tensor.__mul__, Tensor.div, Tensor.__truediv__}
        | {nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}
    )

    def __torch_function__(  # noqa: PLR0917  torch's signature
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        named = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **named)
        if func in self._IN_PLACE:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _safetensors_entries(file: Path) -> Entries:
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(file, framework="pt", device="cpu")
        names = list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise WeightsUnreadableError(file=file, why=str(error)) from error
    return {
        name: Stored(
            file=file,
            shape=tuple(opened.get_slice(name).get_shape()),
            read=lambda name=name: opened.get_tensor(name),
        )
        for name in names
    }


def _pickle_entries(file: Path) -> Entries:
    try:
        content = _unpickle(file)
    except _BROKEN_PICKLE as error:
        raise WeightsUnreadableError(file=file, why=_first_line(error)) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise WeightsUnreadableError(file=file, why="it holds something else than named tensors")
    return {
        str(name): Stored(file=file, shape=tuple(value.shape), read=lambda value=value: value)
        for name, value in content.items()
    }


def _first_line(error: BaseException) -> str:
    """Return what the error says first, or what it is where it says nothing."""
    words = str(error).strip()
    return f"{type(error).__name__}: {words.splitlines()[0]}" if words else "it is cut short"


def _unpickle(file: Path) -> Any:
    with file.open("rb") as content:
        zipped = content.read(2) == b"PK"
    # Only the zip format can be mapped; older pickles are read whole.
    return torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
