"""Cases of the transformer: one prediction, and predictions with skipped steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from itk_engine.sampling import (
    Branch,
    Predictor,
    SkipPlan,
    TeaCache,
    plan_reference_skips,
    plan_skips,
)

from .verdict import Check, close, equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from itk_engine.model import Conditions, DiT

    from .bench import Bench
    from .folder import Case

_BRANCHES = {
    3: (Branch.COND, Branch.DROP_TEXT, Branch.UNCOND),
    2: (Branch.COND, Branch.DROP_AUDIO),
}


def prediction(case: Case, bench: Bench) -> list[Check]:
    """Predict once with the case's speech and once with silence."""
    io = case.tensors()
    dit = bench.dit(case["config"], case.tensors("weights"))
    inner = _Inside(dit)
    time = dit.embed_time(io["in.t"].to(bench.device))
    inner.seen["mid.time_projection"] = time.modulation.flatten(1)
    checks: list[Check] = []
    for name, speech in (
        ("out.pred", io["in.audio"]),
        ("out.pred_audio_null", torch.zeros_like(io["in.audio"])[-1:]),
    ):
        velocity = predict(dit, io, speech, bench=bench)
        if name == "out.pred":
            checks += [
                close(what, inner.seen[what], record, tolerance=bench.part, inner=True)
                for what, record in _in_order(io)
                if what in inner.seen
            ]
        if name in io:
            checks.append(close(name, velocity, io[name], tolerance=bench.part))
    return checks


def predict(dit: DiT, io: dict[str, Tensor], speech: Tensor, *, bench: Bench) -> Tensor:
    """Return the velocity [1, 16, T, h, w] of a case's latent for this speech."""
    conditions = _conditions(dit, io, text=io["in.context"], speech=speech, bench=bench)
    latent = io["in.x"][None].to(bench.device)
    return dit(latent, io["in.t"].to(bench.device), conditions)


def skipping(case: Case, bench: Bench) -> list[Check]:
    """Predict all steps of all chunks, skipping where the schedule says so."""
    io = case.tensors()
    dit = bench.dit(case["config"], case.tensors("weights"))
    branches = _BRANCHES[case["passes"]]
    time = dit.embed_time(io["in.t"].to(bench.device))
    silence = torch.zeros_like(io["in.audio"])[-1:]
    conditions = {
        branch: _conditions(
            dit,
            io,
            text=io["in.context_null"] if branch.negative else io["in.context"],
            speech=silence if branch.silent else io["in.audio"],
            bench=bench,
        )
        for branch in branches
    }
    plans = _plans(case, time, chunks=len(io["in.x"]))
    residuals: dict[int, Tensor] = {}  # the reference keeps them from chunk to chunk
    velocities: list[Tensor] = []
    for latents, plan in zip(io["in.x"], plans, strict=True):
        predictor = Predictor(dit, time=time, conditions=conditions, plan=plan, residuals=residuals)
        for step, latent in enumerate(latents):
            velocities += predictor(step, latent[None].to(bench.device)).values()
    return [
        *_decisions(case, plans, bench),
        close("out.pred", torch.cat(velocities), io["out.pred"], tolerance=bench.part),
    ]


def _plans(case: Case, time: Any, *, chunks: int) -> tuple[SkipPlan, ...]:
    """Plan as the engine does; with two branches, as the reference miscounts them."""
    facts, branches = case["teacache"], case["passes"]
    cache = TeaCache(
        threshold=facts["teacache_thresh"],
        size=facts["model_scale"],
        signal="modulation" if facts["use_ret_steps"] else "embedding",
    )
    if branches == 3:
        return (plan_skips(cache, time, branches=branches),) * chunks
    return plan_reference_skips(cache, time, branches=branches, chunks=chunks)


def _decisions(case: Case, plans: tuple[SkipPlan, ...], bench: Bench) -> list[Check]:
    made = [decision for plan in plans for step in plan.decisions for decision in step]
    recorded = case["calls"]
    distances = torch.tensor([call["accumulated"] for call in recorded])
    return [
        equal("calls computed", [m.compute for m in made], [c["computed"] for c in recorded]),
        close(
            "accumulated distances",
            torch.tensor([decision.accumulated for decision in made]),
            distances,
            tolerance=max(1e-3, bench.part),
        ),
    ]


def _conditions(
    dit: DiT, io: dict[str, Tensor], *, text: Tensor, speech: Tensor, bench: Bench
) -> Conditions:
    return dit.condition(
        text=bench.place(text)[None],
        clip=bench.place(io["in.clip_fea"]),
        speech=bench.place(speech)[None],
        picture=bench.place(io["in.y"]),
        masks=io["in.ref_target_masks"][None].to(bench.device),
    )


def _in_order(io: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Return the recorded intermediates in the order in which they are computed."""
    order = (
        "mid.time_projection",
        "mid.audio_proj",
        "mid.block0_ref_attn_map",
        "mid.block0_self_attn",
        "mid.block0_cross_attn",
        "mid.block0_audio_cross_attn",
        "mid.block0",
        "mid.last_block",
    )
    return [(name, io[name]) for name in order if name in io]


class _Inside:
    """Listens to the modules of a transformer during its first prediction."""

    def __init__(self, dit: DiT) -> None:
        self.seen: dict[str, Tensor] = {}
        block: Any = dit.blocks[0]
        self._listen(dit.audio_proj, "mid.audio_proj", lambda out: out[0])
        self._listen(block.self_attn, "mid.block0_self_attn", lambda out: out[0])
        self._listen(block.cross_attn, "mid.block0_cross_attn")
        self._listen(block.audio_cross_attn, "mid.block0_audio_cross_attn")
        self._listen(block, "mid.block0")
        self._listen(dit.blocks[-1], "mid.last_block")
        block.self_attn.speaker_map = self._recorded(
            block.self_attn.speaker_map, "mid.block0_ref_attn_map"
        )

    def _listen(
        self, module: Any, name: str, pick: Callable[[Any], Tensor] = lambda out: out
    ) -> None:
        def listening(_module: nn.Module, _inputs: Any, out: Any) -> None:
            self._keep(name, pick(out))

        module.register_forward_hook(listening)

    def _recorded(self, function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
        def listening(*arguments: Any) -> Tensor:
            out = function(*arguments)
            self._keep(name, out[0])
            return out

        return listening

    def _keep(self, name: str, value: Tensor) -> None:
        self.seen.setdefault(name, value)
