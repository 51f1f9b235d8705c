"""The measurements, each a function from a bench to facts."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from attrs import define, field

from benchmarks import subjects
from benchmarks.measure import GIB, busiest_kernels, measure, time_modules
from itk_engine.model import Conditions, DiT
from itk_engine.ops import fused, norms, rope
from itk_engine.ops.fp8 import merge_fidelity, quantise_linears
from itk_engine.placement import BlockStreamer, Demand, Picture, free_device_memory, plan_placement
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
            self._dit = subjects.random_transformer(self.config, self.device, BF16)
        return self._dit

    def forget(self) -> None:
        """Let go of the transformer."""
        self._dit = None
        free_device_memory(self.device)


def kernels(bench: Bench) -> Facts:
    """Compare the fused kernels with the plain functions at the model's width."""
    if bench.device.type != "cuda":
        return {"skipped": "needs a CUDA device"}
    facts: Facts = {}
    config = bench.config
    for dtype in (torch.float32, BF16):
        x = torch.randn(1, 4096, config.dim, device=bench.device).to(dtype)
        signal = torch.randn(1, 6, config.dim, device=bench.device)
        shift, scale = signal[:, :1], signal[:, 3:4]
        weight = torch.randn(config.dim, device=bench.device).to(dtype)
        table = rope.grid_rotation((1, 64, 64), config.head_width, bench.device)
        results = {}
        for way in ("fused", "plain"):
            # Gradients are what sends the functions down the plain way.
            with torch.set_grad_enabled(way == "plain"):
                rotated = (
                    fused.norm_rotate(
                        x, heads=config.num_heads, weight_D=weight, eps=1e-6, rotation=table
                    )
                    if way == "fused"
                    else rope.rotate(
                        norms.rms_norm(x, weight, 1e-6).unflatten(-1, (config.num_heads, -1)),
                        table,
                    )
                )
                results[way] = (
                    norms.modulate(x, shift, scale, eps=1e-6),
                    norms.add_gated(x, x.flip(1), shift),
                    rotated,
                )
        names = ("modulate", "add_gated", "norm_rotate")
        for name, came, needed in zip(names, results["fused"], results["plain"], strict=True):
            error = (came.float() - needed.float()).norm() / needed.float().norm()
            facts[f"{name} {str(dtype)[6:]}"] = float(error)
    return facts


def forward(bench: Bench, size: str, *, speakers: int) -> Facts:
    """One prediction of one branch."""
    work = _prediction(bench, bench.dit, size, speakers=speakers)
    runs = bench.runs if size == "480" else min(2, bench.runs)
    return measure(work, device=bench.device, runs=runs).plain()


def block_parts(bench: Bench, size: str, *, speakers: int) -> Facts:
    """Milliseconds of the parts of a block, the median over all blocks of one prediction."""
    dit, block = bench.dit, bench.dit.blocks[0]
    names = {
        "block": "", "self_attn": "self_attn", "self_attn.q": "self_attn.q",
        "self_attn.o": "self_attn.o", "cross_attn": "cross_attn",
        "audio_cross_attn": "audio_cross_attn", "ffn": "ffn", "ffn.0": "ffn.0",
        "ffn.gelu": "ffn.1", "ffn.2": "ffn.2", "norm3": "norm3", "norm_x": "norm_x",
    }  # fmt: skip
    modules = {label: block.get_submodule(path) for label, path in names.items()}
    work = _prediction(bench, dit, size, speakers=speakers)
    work()
    return {
        "ms": time_modules(modules, work, device=bench.device),
        "kernels": busiest_kernels(work, device=bench.device),
        **_attention_alone(bench, size),
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


def within_budgets(bench: Bench, budgets_gib: dict[str, tuple[int, ...]]) -> Facts:
    """Predict and decode within capped memory, blocks streamed as the planner says.

    Ends the bench's model. The cap is the allocator's; what the driver takes is the planner's
    to allow for.
    """
    dit, facts = bench.dit, {}
    free_device_memory(bench.device)
    resident = dict[str, torch.Tensor]()
    for size in budgets_gib:
        torch.manual_seed(0)
        resident[size] = _prediction(bench, dit, size, speakers=1)()
    begin = perf_counter()
    streamer = BlockStreamer(dit.blocks, bench.device, resident=0, recallable=True)
    facts["pinning"] = {
        "gib": round(streamer.host_bytes / GIB, 2),
        "pinning_seconds": round(perf_counter() - begin, 2),
    }
    for size, budgets in budgets_gib.items():
        for budget in budgets:
            name = f"{size} within {budget} GiB"
            facts[name] = _within(bench, streamer, size, budget=budget, needed=resident[size])
    streamer.close()
    bench.forget()
    return facts


def _within(
    bench: Bench, streamer: BlockStreamer, size: str, *, budget: int, needed: torch.Tensor
) -> Facts:
    bucket = bench.bucket(size)
    picture = Picture(height=bucket.height, width=bucket.width, frames=bucket.frames)
    plan = plan_placement(bench.config, Demand(picture=picture), budget_bytes=budget * GIB)
    streamer.release()
    free_device_memory(bench.device)
    with _capped(bench.device, budget), torch.inference_mode():
        streamer.keep(plan.resident_blocks)
        vae = subjects.random_vae(bench.device, torch.float32, tiny=bench.tiny)
        latent = torch.randn(16, *bucket.latent, device=bench.device)
        torch.manual_seed(0)
        work = _prediction(bench, bench.dit, size, speakers=1)
        same = torch.equal(work(), needed)
        predicted = measure(work, device=bench.device, runs=2)
        decoded = measure(lambda: vae.decode(latent), device=bench.device, runs=1)
    return {
        "plan": str(plan),
        "resident_blocks": plan.resident_blocks,
        "equal_to_resident": same,
        "decode_seconds": round(decoded.seconds, 3),
        "decode_peak_gib": round(decoded.peak_gib, 2),
        **predicted.plain(),
    }


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


def _attention_alone(bench: Bench, size: str) -> Facts:
    """Milliseconds of self-attention's kernel by itself."""
    if bench.device.type != "cuda":
        return {}
    config, bucket = bench.config, bench.bucket(size)
    frames, rows, columns = bucket.latent
    tokens = frames * (rows // 2) * (columns // 2)
    q, k, v = (
        torch.randn(1, tokens, config.num_heads, config.head_width, device=bench.device, dtype=BF16)
        for _ in range(3)
    )
    attend = bench.dit.blocks[0].self_attn.attend
    with torch.inference_mode():
        measured = measure(lambda: attend(q, k, v), device=bench.device, runs=5)
    return {"attention_kernel_ms": round(1000 * measured.seconds, 3)}


@contextmanager
def _tf32_convolutions() -> Iterator[None]:
    """Allow TF32 in float32 convolutions (PyTorch's default) and let cuDNN choose by trial."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def _capped(device: torch.device, gib: int) -> Iterator[None]:
    """Let the allocator refuse what goes beyond a budget."""
    if device.type != "cuda":
        yield
        return
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
