"""Says where a checkpoint lies and how the engine runs it."""

from pathlib import Path
from typing import Literal

from attrs import field, frozen
from attrs.converters import optional

DeviceName = str  # "auto", "cpu", "cuda", "cuda:1"
DtypeName = Literal["auto", "float32", "bfloat16"]
Fp8Name = Literal["never", "when_needed", "always"]
AttentionName = Literal["auto", "sdpa", "cudnn", "flash4"]


@frozen(kw_only=True)
class Lora:
    """One low-rank file and how strongly it is merged."""

    path: Path = field(converter=Path)
    scale: float = 1.0
    alpha: Literal["file", "ignore"] = "file"  # "ignore" is the reference's narrower reading


@frozen(kw_only=True)
class CheckpointFiles:
    """Where the parts of one published checkpoint lie.

    `base` is a folder in the Wan2.1-I2V-14B-480P layout. `adapter` is one InfiniteTalk
    safetensors file; None means that `base` already holds the complete transformer.
    `quantised` is one optimum-quanto safetensors file with its map beside it; it replaces
    base transformer and adapter.
    """

    base: Path = field(converter=Path)
    adapter: Path | None = field(default=None, converter=optional(Path))
    wav2vec: Path = field(converter=Path)
    quantised: Path | None = field(default=None, converter=optional(Path))
    loras: tuple[Lora, ...] = ()


@frozen(kw_only=True)
class EngineConfig:
    """What the operator can decide about a loaded engine.

    `dtype` "auto" is bfloat16 on CUDA and float32 on the CPU. `attention` "auto" is the
    fastest backend that is installed. `vram_budget_gib` bounds what the engine takes of the
    device (None: all that is free). `fp8` quantises the transformer's linear layers at load,
    "when_needed" only where they would not fit otherwise; it changes the picture a little.
    `processes` share every video, each with a device of its own (None: one for every GPU where
    the device is "auto" and one holds the model, else one). `kernel_cache` is a folder that
    outlives the process, for kernels that are compiled when they are first used.
    """

    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    attention: AttentionName = "auto"
    vram_budget_gib: float | None = None
    fp8: Fp8Name = "never"
    processes: int | None = None
    kernel_cache: Path | None = field(default=None, converter=optional(Path))
