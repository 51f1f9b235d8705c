"""Softmax attention by the backend that the operator names."""

# B batch, L query tokens, S key tokens, N heads, H head width
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from itk_engine.errors import UnsupportedFeatureError

if TYPE_CHECKING:
    from torch import Tensor

Attend: TypeAlias = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]

_FASTEST_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]

_LOG = logging.getLogger(__name__)
_FEW_KEYS = 1024  # below, flash-attn-4 gains nothing and would be compiled for another shape
_HALF_PRECISION = (torch.bfloat16, torch.float16)


def attention_named(name: str, *, device_type: str) -> Attend:
    """Return the attention called `name`: softmax(q·kᵀ / √H)·v over all S keys, unmasked.

    It takes q [B, L, N, H], k and v [B, S, N, H] and gives [B, L, N, H] in q's dtype.
    "auto" is flash-attn-4 where that package is installed and works, else PyTorch's own
    attention, with cuDNN's kernels first on CUDA.

    Raises:
        UnsupportedFeatureError: the backend is unknown, its package is not installed or it
            does not run on this device.
    """
    if name not in BACKENDS:
        raise UnsupportedFeatureError("attention", f"{name!r} is not one of {sorted(BACKENDS)}")
    if device_type != "cuda" and name not in {"auto", "sdpa"}:
        raise UnsupportedFeatureError("attention", f"{name!r} needs a CUDA device")
    if device_type != "cuda":
        return scaled_dot_product
    return BACKENDS[name]()


def scaled_dot_product(q_BLNH: Tensor, k_BSNH: Tensor, v_BSNH: Tensor) -> Tensor:
    """Attend with whatever kernel PyTorch picks by itself."""
    out_BNLH = functional.scaled_dot_product_attention(
        q_BLNH.transpose(1, 2), k_BSNH.transpose(1, 2), v_BSNH.transpose(1, 2)
    )
    return out_BNLH.transpose(1, 2)


def scaled_dot_product_cudnn_first(q_BLNH: Tensor, k_BSNH: Tensor, v_BSNH: Tensor) -> Tensor:
    """Attend with cuDNN's kernel where it can, else with PyTorch's next best."""
    with sdpa_kernel(_FASTEST_FIRST, set_priority=True):
        return scaled_dot_product(q_BLNH, k_BSNH, v_BSNH)


def scaled_dot_product_cudnn_only(q_BLNH: Tensor, k_BSNH: Tensor, v_BSNH: Tensor) -> Tensor:
    """Attend with cuDNN's kernel or fail."""
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        return scaled_dot_product(q_BLNH, k_BSNH, v_BSNH)


def _flash_attention_4() -> Attend:
    try:
        from flash_attn.cute import flash_attn_func
    except ImportError as error:
        raise UnsupportedFeatureError(
            "attention",
            "'flash4' needs the package flash-attn-4; pip install 'itk-engine[flash]'",
        ) from error

    def attend(q_BLNH: Tensor, k_BSNH: Tensor, v_BSNH: Tensor) -> Tensor:
        if k_BSNH.shape[1] < _FEW_KEYS or q_BLNH.dtype not in _HALF_PRECISION:
            return scaled_dot_product_cudnn_first(q_BLNH, k_BSNH, v_BSNH)
        out = flash_attn_func(q_BLNH, k_BSNH, v_BSNH)
        return out[0] if isinstance(out, tuple) else out

    return attend


def _best_installed() -> Attend:
    try:
        fast = _flash_attention_4()
    except UnsupportedFeatureError:
        return scaled_dot_product_cudnn_first
    return fast_while_it_works(fast, scaled_dot_product_cudnn_first)


def fast_while_it_works(fast: Attend, safe: Attend) -> Attend:
    """Attend with `fast`, and from its first failure on with `safe`, after one warning.

    A kernel that is compiled when it is first called may find no compiler for this device. Too
    little memory is no such failure.
    """
    attend_now = fast

    def attend(q_BLNH: Tensor, k_BSNH: Tensor, v_BSNH: Tensor) -> Tensor:
        nonlocal attend_now
        if attend_now is safe:
            return safe(q_BLNH, k_BSNH, v_BSNH)
        try:
            return fast(q_BLNH, k_BSNH, v_BSNH)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  another package's compiler may raise anything
            words = "flash-attn-4 does not work here, so PyTorch's attention is used: %s: %s"
            _LOG.warning(words, type(error).__name__, error)
        attend_now = safe
        return safe(q_BLNH, k_BSNH, v_BSNH)

    return attend


BACKENDS: dict[str, Callable[[], Attend]] = {
    "auto": _best_installed,
    "sdpa": lambda: scaled_dot_product_cudnn_first,
    "cudnn": lambda: scaled_dot_product_cudnn_only,
    "flash4": _flash_attention_4,
}
