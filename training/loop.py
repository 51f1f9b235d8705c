"""What every training command shares: clock, optimiser, average, files and curve."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Tensor = torch.Tensor


class Clock:
    """Ends a stage after so many seconds, wherever it is, and says how far it has come."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def share(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.spent / self.seconds)


class Optimiser:
    """Muon for the hidden matrices, AdamW for the rest, with a running average of the weights.

    Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest orthogonal matrix; its
    step is scaled to AdamW's usual size. Matrices of one shape are treated together.
    """

    def __init__(self, model: nn.Module, *, plain: tuple[str, ...], decay: float = 0.01) -> None:
        self.named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.matrices = {
            n: p
            for n, p in self.named.items()
            if p.ndim >= 2
            and not n.startswith(plain)
            and min(p.shape[0], p[0].numel()) > 1
            and "modulation" not in n
        }
        self.others = {n: p for n, p in self.named.items() if n not in self.matrices}
        self.decay = decay
        self.steps = 0
        device = next(iter(self.named.values())).device
        self.numbers = torch.zeros(4, device=device)  # learning rates and what goes with them
        self.momentum = {n: torch.zeros_like(p) for n, p in self.named.items()}
        self.square = {n: torch.zeros_like(p) for n, p in self.others.items()}
        self.average = {n: p.detach().clone() for n, p in self.named.items()}
        shapes: dict[tuple[int, int], list[str]] = {}
        for n, p in self.matrices.items():
            shapes.setdefault((p.shape[0], p[0].numel()), []).append(n)
        self.shapes = shapes

    def rates(self, *, muon: float, adam: float, average: float) -> None:
        """Say how far the next step goes; apart from `step`, so that a graph can repeat that."""
        self.steps += 1
        fix1, fix2 = 1 - 0.9**self.steps, 1 - 0.98**self.steps
        share = 1 - min(average, (1 + self.steps) / (10 + self.steps))
        self.numbers.copy_(torch.tensor([muon, adam / fix1, 1 / fix2, share]))

    @torch.no_grad()
    def step(self, *, clip: float = 1.0) -> Tensor:
        """One step as far as `rates` said; returns the norm of the gradient."""
        muon, adam, unbias, share = self.numbers.unbind()
        grads = [p.grad for p in self.named.values() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))  # noqa: SLF001
        torch._foreach_mul_(grads, clip / norm.clamp(min=clip))
        for names in self.shapes.values():
            self._orthogonal_step(names, muon)
        names = [n for n, p in self.others.items() if p.grad is not None]
        grads = [self.others[n].grad for n in names]
        first = [self.momentum[n] for n in names]
        second = [self.square[n] for n in names]
        torch._foreach_lerp_(first, grads, 0.1)
        torch._foreach_mul_(second, 0.98)
        torch._foreach_addcmul_(second, grads, grads, 0.02)
        scale = torch._foreach_mul(second, unbias)  # noqa: SLF001
        torch._foreach_sqrt_(scale)
        torch._foreach_add_(scale, 1e-8)
        change = torch._foreach_div(first, scale)  # noqa: SLF001
        torch._foreach_mul_(change, -adam)
        torch._foreach_add_([self.others[n] for n in names], change)
        for p in self.named.values():
            p.grad = None
        mean, now = list(self.average.values()), list(self.named.values())
        change = torch._foreach_sub(now, mean)  # noqa: SLF001
        torch._foreach_mul_(change, share)
        torch._foreach_add_(mean, change)
        return norm

    def _orthogonal_step(self, names: list[str], rate: Tensor) -> None:
        names = [n for n in names if self.matrices[n].grad is not None]
        if not names:
            return
        grads = [self.matrices[n].grad for n in names]
        momentum = [self.momentum[n] for n in names]
        torch._foreach_lerp_(momentum, grads, 0.05)
        ahead = torch._foreach_lerp(grads, momentum, 0.95)  # noqa: SLF001
        x = torch.stack([g.flatten(1) for g in ahead])
        rows, columns = x.shape[1:]
        x = _orthogonal(x) * (0.2 * max(rows, columns) ** 0.5 * rate)
        weights = [self.matrices[n] for n in names]
        torch._foreach_mul_(weights, 1 - rate * self.decay)
        torch._foreach_sub_(
            weights, [u.view_as(w) for u, w in zip(x.unbind(0), weights, strict=True)]
        )

    def state(self) -> dict[str, Any]:
        """Everything that a later stage needs to go on, small enough to travel."""
        return {
            "steps": self.steps,
            "weights": {n: p.detach().float().cpu() for n, p in self.named.items()},
            "average": {n: p.to(torch.float16).cpu() for n, p in self.average.items()},
            "momentum": {n: p.to(torch.bfloat16).cpu() for n, p in self.momentum.items()},
            "square": {n: p.float().cpu() for n, p in self.square.items()},
        }

    @torch.no_grad()
    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.steps = state["steps"]
        for name, p in self.named.items():
            p.copy_(state["weights"][name])
            self.average[name].copy_(state["average"][name])
            self.momentum[name].copy_(state["momentum"][name])
        for name, value in self.square.items():
            value.copy_(state["square"][name])


class Repeated:
    """Repeats a training step as one CUDA graph for each kind of batch.

    A step of small models is thousands of tiny kernels, which a processor starts more slowly than
    a GPU finishes them. The work is a function of tensors alone, changes weights in place and
    returns one tensor; the first three steps of a kind run as they are.
    """

    def __init__(self, work: Callable[..., Tensor], *, graphs: bool) -> None:
        self.work = work
        self.graphs = graphs
        self.seen: dict[Any, int] = {}
        self.kinds: dict[Any, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]] = {}
        self.memory: Any = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Do one step with these inputs."""
        kind = tuple((x.shape, x.dtype) for x in inputs)
        self.seen[kind] = self.seen.get(kind, 0) + 1
        if not self.graphs or self.seen[kind] <= 3:
            return self._aside(inputs)
        if kind not in self.kinds:
            self._capture(kind, inputs)
        graph, places, result = self.kinds[kind]
        for place, value in zip(places, inputs, strict=True):
            place.copy_(value)
        graph.replay()
        return result.clone()

    def _aside(self, inputs: tuple[Tensor, ...]) -> Tensor:
        if not self.graphs:
            return self.work(*inputs)
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            result = self.work(*inputs)
        here.wait_stream(aside)
        return result

    def _capture(self, kind: Any, inputs: tuple[Tensor, ...]) -> None:
        places = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, pool=self.memory):
            result = self.work(*places)
        self.memory = self.memory or graph.pool()
        self.kinds[kind] = graph, places, result


def _orthogonal(x: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, by Newton-Schulz in bfloat16."""
    tall = x.shape[1] > x.shape[2]
    y = x.mT if tall else x
    y = y.to(torch.bfloat16) if x.is_cuda else y
    y = y / (y.float().norm(dim=(1, 2), keepdim=True) + 1e-7).to(y.dtype)
    for a, b, c in ((3.4445, -4.7750, 2.0315),) * 5:
        gram = y @ y.mT
        y = a * y + (b * gram + c * (gram @ gram)) @ y
    return (y.mT if tall else y).float()


def averaged(model: nn.Module, optimiser: Optimiser) -> dict[str, Tensor]:
    """The model's state dict with the averaged weights in it."""
    state = {n: t.detach().clone() for n, t in model.state_dict().items()}
    state.update({n: t.clone() for n, t in optimiser.average.items()})
    return state


def rate(share: float, *, warm: float = 0.02, hold: float = 0.35, end: float = 0.02) -> float:
    """The learning rate's factor: up, flat, then down to `end` along a cosine."""
    if share < warm:
        return share / warm
    if share < hold:
        return 1.0
    turn = (share - hold) / (1 - hold)
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, turn)))


def save(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Write a stage's state in two files, each small enough to travel."""
    extra = {k: state.pop(k) for k in ("average", "momentum")}
    torch.save(state, folder / f"{name}.pt")
    torch.save(extra, folder / f"{name}-more.pt")


def load(folder: Path, name: str) -> dict[str, Any] | None:
    """The state that `save` left, or None."""
    if not (folder / f"{name}.pt").exists():
        return None
    state = torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)
    state.update(torch.load(folder / f"{name}-more.pt", map_location="cpu", weights_only=True))
    return state


class Curve:
    """Numbers over the steps: a JSON file and a picture."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def add(self, **row: float) -> None:
        """One more point; every number is kept, and printed."""
        self.rows.append(row)
        print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)

    def write(self) -> None:
        """Write the numbers, and the first two besides `step` as a picture."""
        self.path.with_suffix(".json").write_text(json.dumps(self.rows))
        from PIL import Image, ImageDraw

        keys = [k for k in self.rows[-1] if k not in ("step", "seconds")] if self.rows else []
        image = Image.new("RGB", (700, 40 + 150 * len(keys)), "white")
        pen = ImageDraw.Draw(image)
        for k, key in enumerate(keys):
            values = [row[key] for row in self.rows if key in row and math.isfinite(row[key])]
            top = 30 + 150 * k
            low, high = min(values, default=0), max(values, default=1)
            pen.text(
                (8, top - 14), f"{key}: last {values[-1]:.4g}, {low:.4g} to {high:.4g}", "black"
            )
            points = [
                (
                    10 + 680 * i / max(1, len(values) - 1),
                    top + 125 - 120 * (v - low) / (high - low + 1e-12),
                )
                for i, v in enumerate(values)
            ]
            if len(points) > 1:
                pen.line(points, fill=(30, 90, 160), width=2)
        image.save(self.path.with_suffix(".png"))


def picture(rows: list[Tensor], path: Path) -> None:
    """Write rows of pictures, each [3, H, W] in 0..1 side by side, as one PNG."""
    from PIL import Image

    width = max(row.shape[2] for row in rows)
    rows = [nn.functional.pad(row, (0, width - row.shape[2])) for row in rows]
    whole = torch.cat(rows, 1).clamp(0, 1).mul(255).round().byte()
    Image.fromarray(whole.permute(1, 2, 0).cpu().numpy()).save(path)
