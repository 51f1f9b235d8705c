"""The measurements, each a function from a bench to facts."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from attrs import define, field

from benchmarks import subjects
from benchmarks.measure import busiest_kernels, measure, time_modules
from itk_engine.errors import UnsupportedFeatureError
from itk_engine.model import Conditions, DiT
from itk_engine.model.attention import RMSNorm
from itk_engine.ops import norms, rope
from itk_engine.ops.attention import attention_named
from itk_engine.ops.fp8 import merge_fidelity, quantise_linears
from itk_engine.placement import free_device_memory
from itk_engine.sampling import Branch, Guidance, Guide, Predictor, Sampling, denoise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BF16 = torch.bfloat16
Facts = dict[str, Any]


@define
class Bench:
    """The device, the sizes and the one large model that the measurements share."""

    device: torch.device
    tiny: bool
    runs: int = 3
    _dit: DiT | None = field(default=None, alias="dit")

    @property
    def config(self) -> subjects.DiTConfig:
        """The transformer's sizes."""
        return subjects.TINY if self.tiny else subjects.DiTConfig()

    def bucket(self, name: str) -> subjects.Bucket:
        """The output size called 480 or 720."""
        buckets = subjects.TINY_BUCKETS if self.tiny else subjects.BUCKETS
        return next(bucket for bucket in buckets if bucket.name == name)

    @property
    def dit(self) -> DiT:
        """The transformer with bfloat16 weights, built once."""
        if self._dit is None:
            free_device_memory(self.device)
            self._dit = subjects.random_transformer(self.config, self.device, BF16)
        return self._dit

    def forget(self) -> None:
        """Let go of the transformer."""
        self._dit = None
        free_device_memory(self.device)


def kernels(bench: Bench) -> Facts:
    """Compare the fused kernels with the plain functions at the model's width, and time rivals."""
    if bench.device.type != "cuda":
        return {"skipped": "needs a CUDA device"}
    facts: Facts = {}
    for dtype in (torch.float32, BF16):
        came, needed = (_small_operations(bench, dtype, plain=plain) for plain in (False, True))
        for name, value in came.items():
            error = (value.float() - needed[name].float()).norm() / needed[name].float().norm()
            facts[f"{name} {str(dtype)[6:]} error"] = float(error)
    return {**facts, **_feed_forward_rivals(bench), **_attention_rivals(bench)}


def _small_operations(bench: Bench, dtype: torch.dtype, *, plain: bool) -> dict[str, torch.Tensor]:
    """Run each operation that has a fused kernel; gradients send it down the plain way."""
    config, device = bench.config, bench.device
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device)

    x, y = draw(1, 4096, config.dim).to(dtype), draw(1, 4096, config.dim).to(dtype)
    shift, scale = draw(1, 1, config.dim), draw(1, 1, config.dim)
    table = rope.grid_rotation((1, 64, 64), config.head_width, device)
    norm_q = RMSNorm(config.dim, config.eps).to(device, dtype).requires_grad_(requires_grad=False)
    norm = torch.nn.LayerNorm(config.dim, config.eps, device=device, dtype=dtype)
    norm.requires_grad_(requires_grad=False)
    with torch.set_grad_enabled(plain):
        return {
            "modulate": norms.modulate(x, shift, scale, eps=1e-6),
            "add_gated": norms.add_gated(x, y, shift),
            "add_then_norm": norms.add_then_norm(x, y, norm, gate_B1D=shift)[1],
            "add_then_modulate": norms.add_then_modulate(
                x, y, shift_B1D=shift, scale_B1D=scale, eps=1e-6
            )[1],
            "norm_rotate": norm_q.rotated(x, table, heads=config.num_heads),
        }


def _feed_forward_rivals(bench: Bench) -> Facts:
    """Milliseconds of the widest linear layer with its GELU inside and after it."""
    config = bench.config
    linear = torch.nn.Linear(config.dim, config.ffn_dim, device=bench.device, dtype=BF16)
    x = torch.randn(1, 33_600, config.dim, device=bench.device, dtype=BF16)
    ways = {
        "gelu inside": lambda: norms.gelu_linear(x, linear),
        "gelu after": lambda: torch.nn.functional.gelu(linear(x), approximate="tanh"),
    }
    with torch.inference_mode():
        error = (ways["gelu inside"]().float() - ways["gelu after"]().float()).norm()
        return {"gelu inside error": float(error / ways["gelu after"]().float().norm())} | {
            f"{name} ms": round(1000 * measure(way, device=bench.device, runs=9).seconds, 3)
            for name, way in ways.items()
        }


def _attention_rivals(bench: Bench) -> Facts:
    """Milliseconds of self-attention at the small bucket's length by each installed backend."""
    config = bench.config
    shape = (1, 33_600, config.num_heads, config.head_width)
    q, k, v = (torch.randn(shape, device=bench.device, dtype=BF16) for _ in range(3))
    facts: Facts = {}
    outputs = {}
    for name in ("cudnn", "flash4"):
        try:
            attend = attention_named(name, device_type="cuda")
        except UnsupportedFeatureError as error:
            facts[f"attention {name}"] = str(error)
            continue
        with torch.inference_mode():
            outputs[name] = attend(q, k, v).float()
            taken = measure(partial(attend, q, k, v), device=bench.device, runs=9).seconds
        facts[f"attention {name} ms"] = round(1000 * taken, 3)
    if len(outputs) == 2:
        difference = (outputs["flash4"] - outputs["cudnn"]).norm() / outputs["cudnn"].norm()
        facts["attention difference"] = float(difference)
    return facts


def forward(bench: Bench, size: str, *, speakers: int, attention: str = "auto") -> Facts:
    """One prediction of one branch."""
    bench.dit.use_attention(attention_named(attention, device_type=bench.device.type))
    work = _prediction(bench, bench.dit, size, speakers=speakers)
    runs = bench.runs if size == "480" else min(2, bench.runs)
    measured = measure(work, device=bench.device, runs=runs).plain()
    bench.dit.use_attention(attention_named("auto", device_type=bench.device.type))
    return measured


def block_parts(bench: Bench, size: str, *, speakers: int) -> Facts:
    """Milliseconds of the parts of a block, the median over all blocks of one prediction."""
    dit, block = bench.dit, bench.dit.blocks[0]
    paths = ("", "self_attn", "self_attn.q", "self_attn.o", "cross_attn", "audio_cross_attn")
    modules = {path or "block": block.get_submodule(path) for path in (*paths, "ffn.2")}
    work = _prediction(bench, dit, size, speakers=speakers)
    work()
    return {
        "ms": time_modules(modules, work, device=bench.device),
        "kernels": busiest_kernels(work, device=bench.device),
    }


def fp8(bench: Bench, sizes: tuple[str, ...] = ("480", "720")) -> Facts:
    """One prediction with float8 linear layers, and how far it lies from the exact one."""
    exact, dit = {}, bench.dit
    for size in sizes:
        torch.manual_seed(0)
        exact[size] = _prediction(bench, dit, size, speakers=1)()
    fidelity = merge_fidelity(
        [
            quantise_linears(block, prefix=f"blocks.{index}")
            for index, block in enumerate(dit.blocks)
        ]
    )
    free_device_memory(bench.device)
    facts: Facts = {"fidelity": str(fidelity)}
    for size in sizes:
        torch.manual_seed(0)
        work = _prediction(bench, dit, size, speakers=1)
        error = (work() - exact[size]).norm() / exact[size].norm()
        runs = bench.runs if size == "480" else 1
        measured = measure(work, device=bench.device, runs=runs).plain()
        facts[size] = {**measured, "relative_error_random_weights": round(float(error), 4)}
    bench.forget()
    return facts


def autoencoder(bench: Bench, size: str, *, dtype: torch.dtype) -> Facts:
    """Encode a chunk of pixels, decode a chunk of latents."""
    bucket = bench.bucket(size)
    vae = subjects.random_vae(bench.device, dtype, tiny=bench.tiny)
    shape = (bucket.frames, bucket.height, bucket.width)
    video = torch.rand(3, *shape, device=bench.device) * 2 - 1
    latent = torch.randn(16, *bucket.latent, device=bench.device)
    facts: Facts = {}
    works = {
        "encode": lambda: vae.encode(video),
        "encode_still": lambda: vae.encode_still(video[:, :1], bucket.frames),
        "encode_9_frames": lambda: vae.encode(video[:, :9]),
        "decode": lambda: vae.decode(latent),
    }
    with torch.inference_mode(), _tf32_convolutions():
        for name, work in works.items():
            facts[name] = measure(work, device=bench.device, runs=2).plain()
        for name in ("encode", "decode"):
            facts[f"{name} kernels"] = busiest_kernels(works[name], device=bench.device)
    return facts


def chunk(bench: Bench, size: str) -> Facts:
    """One chunk of 4 steps with one branch through the real sampler, decoded in bfloat16."""
    bucket = bench.bucket(size)
    vae = subjects.random_vae(bench.device, BF16, tiny=bench.tiny)
    sampling = Sampling(steps=4, shift=7.0, guidance=Guidance(text_scale=1.0, speech_scale=1.0))
    dit = bench.dit
    still = torch.rand(3, 1, bucket.height, bucket.width, device=bench.device) * 2 - 1

    def work() -> None:
        picture = vae.encode_still(still, bucket.frames)
        conditions = subjects.random_conditions(dit, bucket, speakers=1)
        time = dit.embed_time(torch.tensor(sampling.times[:-1], device=bench.device))
        predictor = Predictor(dit, time=time, conditions={Branch.COND: conditions})
        latent = subjects.random_latent(dit, bucket)
        motion = picture[None, :, :1].float()
        steps = denoise(
            predictor,
            latent,
            motion=motion,
            times=sampling.times,
            guide=Guide(sampling.guidance),
        )
        for step in steps:
            latent = step
        vae.decode(latent[0])

    with torch.inference_mode(), _tf32_convolutions():
        return measure(work, device=bench.device, runs=2).plain()


def _prediction(bench: Bench, dit: DiT, size: str, *, speakers: int) -> Callable[[], torch.Tensor]:
    bucket = bench.bucket(size)
    with torch.inference_mode():
        conditions: Conditions = subjects.random_conditions(dit, bucket, speakers=speakers)
        latent = subjects.random_latent(dit, bucket)
        time = dit.embed_time(torch.tensor([900.0], device=bench.device))

    @torch.inference_mode()
    def work() -> torch.Tensor:
        velocity = dit(latent, time, conditions)
        assert bool(torch.isfinite(velocity).all())
        return velocity

    return work


@contextmanager
def _tf32_convolutions() -> Iterator[None]:
    """Allow TF32 in float32 convolutions, as PyTorch does unless told otherwise."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
