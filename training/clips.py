"""Makes clips of drawn people who speak, blink and sway, and tells where their mouths are."""

# ruff: noqa: PLR0917

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import faces
import torch
from torch.nn import functional as F  # noqa: N812  the name that everybody knows

Tensor = torch.Tensor
Kind = Literal["first", "later"]

FPS = 25


@dataclass(frozen=True, kw_only=True)
class Scene:
    """B clips of the same size: who is where, and what they do. K people, F frames.

    Frame 0 of a "first" clip is the portrait itself; a "later" clip is somewhere in the middle.
    """

    height: int
    width: int
    canvas: Tensor  # [B, 3, H, W]
    who: tuple[faces.People, ...]  # K times B people
    rest: tuple[faces.Pose, ...]  # K times [B]: the portrait
    moves: tuple[faces.Pose, ...]  # K times [B, F]

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return self.canvas.shape[0]

    @property
    def frames(self) -> int:
        """How many frames each clip has."""
        return self.moves[0].x.shape[1]

    def portrait(self) -> Tensor:
        """The still pictures [B, 3, H, W] in 0..1 that the clips start from."""
        out = self.canvas
        for who, pose in zip(self.who, self.rest, strict=True):
            out = faces.draw(out, who, pose)
        return out.clamp(0, 1)

    def video(self) -> Tensor:
        """All frames [B, F, 3, H, W] in 0..1."""
        b, f = self.clips, self.frames
        out = self.canvas.repeat_interleave(f, 0)
        index = torch.arange(b, device=out.device).repeat_interleave(f)
        for who, pose in zip(self.who, self.moves, strict=True):
            out = faces.draw(out, who.pick(index), _each(pose, lambda v: v.flatten()))
        return out.clamp(0, 1).unflatten(0, (b, f))

    def opening(self) -> Tensor:
        """True mouth opening [B, K, F]."""
        return torch.stack([pose.opening for pose in self.moves], 1)

    def part(self, start: int, stop: int) -> Scene:
        """Some of the clips."""
        rows = slice(start, stop)
        at = torch.arange(self.clips, device=self.canvas.device)[rows]
        return Scene(
            height=self.height, width=self.width, canvas=self.canvas[rows],
            who=tuple(w.pick(at) for w in self.who),
            rest=tuple(_each(p, lambda v: v[rows]) for p in self.rest),
            moves=tuple(_each(p, lambda v: v[rows]) for p in self.moves),
        )  # fmt: skip

    def places(self, feature: Literal["mouth", "eyes", "face"]) -> Tensor:
        """Boxes [B, K, 4] (x0, y0, x1, y1, in pixels) round a feature of the portraits."""
        return torch.stack(
            [
                _box(w, p, feature, self.height, self.width)
                for w, p in zip(self.who, self.rest, strict=True)
            ],
            1,
        )

    def weights(self, *, mouth: float, eyes: float, cell: int = 1) -> Tensor:
        """Loss weights [B, H/cell, W/cell]: 1, more round mouths and eyes."""
        height, width = self.height // cell, self.width // cell
        y = torch.arange(height, device=self.canvas.device)[:, None] + 0.5
        x = torch.arange(width, device=self.canvas.device)[None, :] + 0.5
        out = torch.ones(self.clips, height, width, device=self.canvas.device)
        for feature, extra in (("mouth", mouth), ("eyes", eyes)):
            for box in self.places(feature).unbind(1):
                x0, y0, x1, y1 = (box[:, i, None, None] / cell for i in range(4))
                rx, ry = (x1 - x0) / 2 + 0.5, (y1 - y0) / 2 + 0.5
                far = ((x - (x0 + x1) / 2) / rx) ** 4 + ((y - (y0 + y1) / 2) / ry) ** 4
                out = out + (extra - 1) * torch.exp(-far)
        return out


def scene(
    seeds: list[tuple[int, ...]],
    *,
    size: tuple[int, int],
    opening: Tensor,
    spread: Tensor,
    kind: Kind,
    device: Any = "cpu",
) -> Scene:
    """Clips of the people of these seeds, whose mouths follow opening and spread [B, K, F]."""
    b, k, f = opening.shape
    height, width = size
    chance = torch.Generator().manual_seed(sum(seeds[0]) * 131 + b + f)
    canvas = faces.backgrounds([s[0] for s in seeds], height, width, device)
    leaves = torch.rand(b, generator=chance) < 0.12
    if leaves.any():
        at = leaves.nonzero()[:, 0].tolist()
        canvas[at] = dead_leaves([seeds[i][0] for i in at], height, width, device)
    who, rest, moves = [], [], []
    for person in range(k):
        own = [s[person] for s in seeds]
        u = faces.uniforms([s + 31 for s in own], 64)
        who.append(faces.people(own).to(device))
        still = _portrait_pose(u, person, k, wide=width / height)
        rest.append(still.to(device))
        moves.append(
            _moves(still, u, opening[:, person].cpu(), spread[:, person].cpu(), kind).to(device)
        )
    return Scene(
        height=height, width=width, canvas=canvas, who=tuple(who), rest=tuple(rest),
        moves=tuple(moves),
    )  # fmt: skip


def dead_leaves(seeds: list[int], height: int, width: int, device: Any) -> Tensor:
    """Overlapping discs of random colours and sizes, [N, 3, H, W]: as busy as photographs."""
    n, leaves = len(seeds), 70
    u = faces.uniforms([s + 91 for s in seeds], leaves * 7).to(device).view(n, leaves, 7)
    y = (torch.arange(height, device=device) + 0.5)[:, None] / height
    x = (torch.arange(width, device=device) + 0.5)[None, :] / height
    tone = 0.25 + 0.6 * u[:, 1, 3:4, None, None] + 0.15 * u[:, 1, 3:6, None, None]
    out = tone.expand(n, 3, height, width).clone()
    for i in range(leaves):
        cx, cy, size, *_ = (u[:, i, j, None, None] for j in range(7))
        radius = 0.03 / (1.02 - size) ** 0.7
        cover = ((radius - torch.hypot(x - cx * width / height, y - cy)) * height).clamp(0, 1)
        colour = (
            0.4 * u[:, i, 3:6, None, None] + 0.6 * tone * (0.4 + u[:, i, 4:5, None, None])
        ).expand_as(out)
        shade = 1 + 0.5 * (u[:, i, 6, None, None] - 0.5) * ((y - cy) / radius).clamp(-1, 1)
        out = torch.lerp(out, colour * shade[:, None], cover[:, None])
    return out.clamp(0, 1)


def _portrait_pose(u: Tensor, person: int, people: int, *, wide: float) -> faces.Pose:
    zero = torch.zeros(len(u))
    scale = 0.265 + 0.095 * u[:, 0]
    middle = 0.5 if people == 1 else (0.27, 0.73)[person]
    reach = 0.07 if people == 1 else 0.035
    open_mouth = (u[:, 4] > 0.85).float() * u[:, 5]
    return faces.Pose(
        x=middle + reach * (2 * u[:, 1] - 1) / max(1.0, wide * 0.8),
        y=0.47 + 0.05 * (2 * u[:, 2] - 1),
        scale=scale,
        roll=0.05 * (2 * u[:, 3] - 1),
        turn=0.8 * (2 * u[:, 6] - 1),
        nod=0.6 * (2 * u[:, 7] - 1),
        blink=zero,
        brow=0.3 * u[:, 8],
        opening=open_mouth,
        spread=0.5 * (2 * u[:, 9] - 1),
        gaze=0.4 * (2 * u[:, 10] - 1),
    )


def _moves(still: faces.Pose, u: Tensor, opening: Tensor, spread: Tensor, kind: Kind) -> faces.Pose:
    f = opening.shape[1]
    t = torch.arange(f)[None] / FPS
    ease = 1 - torch.exp(-t / 0.25) if kind == "first" else torch.ones_like(t)
    stress = _smooth(opening, 6) - opening.mean(1, keepdim=True)

    def wander(k: int, amount: float) -> Tensor:
        path = torch.zeros_like(opening)
        for j in range(3):
            speed = 0.08 + 0.35 * u[:, k + 2 * j, None]
            phase = 2 * math.pi * u[:, k + 2 * j + 1, None]
            path = path + torch.sin(2 * math.pi * speed * t + phase) / (1 + j)
        if kind == "first":
            path = path - path[:, :1]
        return path * amount * 0.6

    blink = torch.zeros_like(opening)
    for j in range(3):
        when = 0.35 + max(0.0, f / FPS - 0.5) * u[:, 40 + j, None]
        used = (u[:, 44 + j, None] < 0.55).float()
        blink = torch.maximum(blink, used * torch.exp(-(((t - when) / 0.085) ** 4)))
    fade = torch.exp(-torch.arange(f)[None] / 1.3) if kind == "first" else torch.zeros_like(t)
    opening = opening + (still.opening[:, None] - opening) * fade
    spread = spread + (still.spread[:, None] - spread) * fade
    return faces.Pose(
        x=still.x[:, None] + ease * wander(12, 0.005),
        y=still.y[:, None] + ease * (wander(18, 0.003) + 0.012 * stress),
        scale=still.scale[:, None].expand_as(opening),
        roll=still.roll[:, None] + ease * wander(24, 0.018),
        turn=still.turn[:, None] + ease * wander(30, 0.28),
        nod=still.nod[:, None] + ease * (wander(36, 0.10) + 0.8 * stress),
        blink=blink,
        brow=(still.brow[:, None] + ease * 0.9 * stress).clamp(-0.2, 1),
        opening=opening,
        spread=spread,
        gaze=still.gaze[:, None] + ease * wander(48, 0.15),
    )


def _box(who: faces.People, pose: faces.Pose, feature: str, height: int, width: int) -> Tensor:
    fx = 0.07 * pose.turn
    fy = 0.05 * pose.nod
    if feature == "mouth":
        x, y, rx, ry = fx, who.mouth_y + fy + 0.09, who.mouth_wide + 0.06, 0.25
    elif feature == "eyes":
        x, y, rx, ry = fx, who.eye_y + fy - 0.10, who.eye_x + who.eye_size + 0.06, 0.26
    else:
        x, y, rx, ry = torch.zeros_like(fx), torch.zeros_like(fx), who.width, 1.0
    cos, sin = torch.cos(pose.roll), torch.sin(pose.roll)
    cx = pose.x * width + (x * cos - (y - 0.9) * sin) * pose.scale * height
    cy = pose.y * height + (x * sin + (y - 0.9) * cos + 0.9) * pose.scale * height
    rx, ry = rx * pose.scale * height, ry * pose.scale * height
    return torch.stack([cx - rx, cy - ry, cx + rx, cy + ry], 1)


def _smooth(values: Tensor, sigma: float) -> Tensor:
    reach = 3 * round(sigma)
    at = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    padded = F.pad(values[:, None], (reach, reach), mode="replicate")
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0]


def _each(pose: faces.Pose, change: Any) -> faces.Pose:
    return faces.Pose(**{name: change(value) for name, value in vars(pose).items()})
