"""What the engine says when the device is not up to it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from itk_engine.engine import Engine, device_named, dtype_named
from itk_engine.errors import OutOfMemoryError, UnsupportedFeatureError
from itk_engine.ops.attention import attention_named, fast_while_it_works, scaled_dot_product
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


def test_an_attention_that_fails_is_replaced_once_and_for_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A kernel that cannot be compiled for a card costs one warning, not every video."""
    tried: list[int] = []

    def broken(*_: torch.Tensor) -> torch.Tensor:
        tried.append(1)
        raise AssertionError("Unsupported compute capability")

    attend = fast_while_it_works(broken, scaled_dot_product)
    q = torch.randn(1, 3, 2, 4)
    for _ in range(2):
        assert torch.equal(attend(q, q, q), scaled_dot_product(q, q, q))
    assert len(tried) == 1
    assert "AssertionError: Unsupported compute capability" in caplog.text


def test_an_attention_without_memory_is_not_replaced() -> None:
    """The next video may be smaller, and memory is a failure that has its own advice."""

    def too_much(*_: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError

    attend = fast_while_it_works(too_much, scaled_dot_product)
    q = torch.randn(1, 3, 2, 4)
    for _ in range(2):
        with pytest.raises(torch.cuda.OutOfMemoryError):
            attend(q, q, q)


def test_auto_is_float32_on_a_cpu_and_bfloat16_on_a_gpu() -> None:
    """Devices and dtypes may also be named."""
    assert dtype_named("auto", torch.device("cpu")) == torch.float32
    assert dtype_named("auto", torch.device("cuda")) == torch.bfloat16
    assert dtype_named("float32", torch.device("cuda")) == torch.float32
    assert device_named("cpu") == torch.device("cpu")
