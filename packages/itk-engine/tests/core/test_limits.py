"""What the engine says when the device is not up to it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from itk_engine.engine import Engine, device_named, dtype_named
from itk_engine.errors import OutOfMemoryError, UnsupportedFeatureError
from itk_engine.ops.attention import attention_named, scaled_dot_product
from itk_engine.request import GenerationRequest


def test_running_out_of_memory_says_what_to_change(
    engine: Engine, models: Any, request_of: Callable[..., GenerationRequest]
) -> None:
    """The device's own error becomes one with advice, and names the part of the work."""

    def too_much(*_: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError

    models.dit.use_attention(too_much)
    try:
        with pytest.raises(OutOfMemoryError, match=r"cpu ran out of memory .*480"):
            list(engine.generate(request_of()))
    finally:
        models.dit.use_attention(scaled_dot_product)


def test_an_attention_that_is_not_there_is_named() -> None:
    """Unknown names and backends of another device are refused before any work."""
    with pytest.raises(UnsupportedFeatureError, match="'flesh' is not one of"):
        attention_named("flesh", device_type="cpu")
    with pytest.raises(UnsupportedFeatureError, match="'cudnn' needs a CUDA device"):
        attention_named("cudnn", device_type="cpu")


def test_auto_is_float32_on_a_cpu_and_bfloat16_on_a_gpu() -> None:
    """Devices and dtypes may also be named."""
    assert dtype_named("auto", torch.device("cpu")) == torch.float32
    assert dtype_named("auto", torch.device("cuda")) == torch.bfloat16
    assert dtype_named("float32", torch.device("cuda")) == torch.float32
    assert device_named("cpu") == torch.device("cpu")
