"""Draws people: soft-shaded faces, vectorised, at any size, from seeds.

Coordinates of a face: the origin lies between the eyes and the nose, x to the right, y down,
the chin at y = 1. Every edge is a signed distance divided by the width of a pixel, so that a
picture is antialiased at 96 as at 1024 pixels. All tensors carry a leading axis N of frames.
"""

# ruff: noqa: PLR0917

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

Tensor = torch.Tensor

DRAWS = 96  # uniform numbers behind one person
SKIN = [
    (0.99, 0.88, 0.80), (0.96, 0.80, 0.69), (0.90, 0.71, 0.57), (0.79, 0.58, 0.43),
    (0.64, 0.44, 0.31), (0.48, 0.32, 0.23), (0.36, 0.24, 0.18),
]  # fmt: skip
HAIR = [
    (0.10, 0.08, 0.08), (0.20, 0.13, 0.10), (0.34, 0.21, 0.13), (0.52, 0.30, 0.15),
    (0.60, 0.24, 0.13), (0.82, 0.64, 0.35), (0.68, 0.66, 0.66), (0.42, 0.27, 0.20),
]  # fmt: skip
IRIS = [
    (0.33, 0.20, 0.12), (0.45, 0.31, 0.14), (0.30, 0.45, 0.25), (0.25, 0.47, 0.62),
    (0.45, 0.53, 0.58),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class People:
    """How N people look; numbers are [N], colours [N, 3]."""

    skin: Tensor
    hair: Tensor
    iris: Tensor
    lips: Tensor
    cloth: Tensor
    width: Tensor  # half the width of the head
    jaw: Tensor  # how much the face narrows to the chin
    eye_x: Tensor
    eye_y: Tensor
    eye_size: Tensor
    eye_slant: Tensor
    brow_y: Tensor
    brow_thick: Tensor
    brow_arch: Tensor
    nose_len: Tensor
    nose_wide: Tensor
    mouth_y: Tensor
    mouth_wide: Tensor
    lip_thick: Tensor
    hairline: Tensor
    parting: Tensor
    fringe: Tensor
    hair_long: Tensor  # 0 short, 1 to the shoulders
    hair_wide: Tensor
    curls: Tensor
    bald: Tensor
    glasses: Tensor  # 0 or 1
    glasses_round: Tensor
    blush: Tensor
    light: Tensor  # side from which the light comes, -1..1
    collar: Tensor  # 0 round, 1 open
    freckles: Tensor

    def pick(self, index: Tensor) -> People:
        """The people at these places, in this order."""
        return People(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: Any) -> People:
        """The same people on another device."""
        return People(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def vary(self, **changes: Tensor) -> People:
        """A copy with other looks."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """What N faces do in this frame; every number is [N]."""

    x: Tensor  # centre of the head, in picture widths
    y: Tensor  # in picture heights
    scale: Tensor  # half a head's height in picture heights
    roll: Tensor  # radians
    turn: Tensor  # -1..1, the features slide over the head
    nod: Tensor
    blink: Tensor  # 0 open, 1 shut
    brow: Tensor  # 0 at rest, 1 raised
    opening: Tensor  # of the mouth, 0 shut, 1 wide
    spread: Tensor  # of the mouth, -1 round, 1 wide
    gaze: Tensor

    def to(self, device: Any) -> Pose:
        """The same pose on another device."""
        return Pose(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def uniforms(seeds: list[int], count: int = DRAWS) -> Tensor:
    """Uniform numbers [len(seeds), count]: a row depends on its own seed alone."""
    rows = [torch.rand(count, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(rows)


def people(seeds: list[int]) -> People:
    """The people of these seeds."""
    u = uniforms(seeds)

    def between(k: int, low: float, high: float) -> Tensor:
        return low + (high - low) * u[:, k]

    skin = _palette(SKIN, u[:, 0]) * (0.97 + 0.06 * u[:, 1:2])
    hair = _choose(HAIR, u[:, 2]) * (0.8 + 0.45 * u[:, 3:4])
    red = torch.tensor([0.80, 0.26, 0.30])
    lips = skin * (0.55 - 0.25 * u[:, 4:5]) + red * (0.36 + 0.27 * u[:, 4:5])
    bald = ((u[:, 5] < 0.05) & (u[:, 6] < 0.6)).float()
    return People(
        skin=skin.clamp(0, 1),
        hair=hair.clamp(0, 1),
        iris=_choose(IRIS, u[:, 7]),
        lips=lips.clamp(0, 1),
        cloth=_hues(u[:, 8], 0.15 + 0.5 * u[:, 9], 0.25 + 0.6 * u[:, 10]),
        width=between(11, 0.70, 0.82),
        jaw=between(12, 0.10, 0.34),
        eye_x=between(13, 0.30, 0.36),
        eye_y=between(14, -0.12, -0.04),
        eye_size=between(15, 0.135, 0.175),
        eye_slant=between(16, -0.12, 0.16),
        brow_y=between(17, -0.34, -0.28),
        brow_thick=between(18, 0.022, 0.048),
        brow_arch=between(19, 0.02, 0.09),
        nose_len=between(20, 0.26, 0.36),
        nose_wide=between(21, 0.085, 0.14),
        mouth_y=between(22, 0.555, 0.62),
        mouth_wide=between(23, 0.235, 0.30),
        lip_thick=between(24, 0.045, 0.075),
        hairline=between(25, -0.72, -0.50),
        parting=between(26, -1.0, 1.0),
        fringe=between(27, 0.0, 1.0),
        hair_long=(u[:, 5] > 0.5).float() * between(28, 0.4, 1.0),
        hair_wide=between(29, 0.06, 0.22),
        curls=(u[:, 30] > 0.6).float() * between(31, 0.3, 1.0),
        bald=bald,
        glasses=(u[:, 32] < 0.28).float(),
        glasses_round=u[:, 33],
        blush=between(34, 0.2, 1.0),
        light=between(35, -1.0, 1.0),
        collar=(u[:, 36] > 0.5).float(),
        freckles=(u[:, 37] < 0.12).float(),
    )


def backgrounds(seeds: list[int], height: int, width: int, device: Any = "cpu") -> Tensor:
    """Backdrops [N, 3, H, W]: a gradient, soft discs of light, sometimes a room or a pattern."""
    u = uniforms([s + 7_000_003 for s in seeds]).to(device)
    n = len(seeds)
    y, x = _grid(height, width, device)
    x, y = x[None] * width / height, y[None]

    def k(i: int) -> Tensor:
        return u[:, i].view(n, 1, 1)

    value = 0.45 + 0.5 * u[:, 1]
    one = _hues(u[:, 0], 0.08 + 0.45 * u[:, 2], value)
    two = _hues(
        u[:, 0] + 0.25 * (u[:, 3] - 0.5), 0.05 + 0.4 * u[:, 4], value * (0.6 + 0.5 * u[:, 5])
    )
    angle = k(6) * 2 * math.pi
    ramp = (0.5 + 0.55 * ((x - 0.5) * torch.cos(angle) + (y - 0.5) * torch.sin(angle))).clamp(0, 1)
    out = _mix(_wide(one), _wide(two), ramp)
    third = _hues(u[:, 0] + 0.5 * u[:, 7], 0.1 + 0.4 * u[:, 8], 0.5 + 0.5 * u[:, 9])
    for i in range(7):
        radius = 0.05 + 0.16 * k(20 + i)
        far = torch.hypot(x - k(30 + i) * width / height, y - k(40 + i)) - radius
        soft = 0.004 + 0.09 * k(50)
        disc = torch.sigmoid(-far / soft) * 0.4 * k(60 + i) * (k(10) > 0.35)
        out = _mix(out, _wide(third), disc)
    stripes = torch.sigmoid(torch.sin((x * torch.cos(angle) - y * torch.sin(angle)) * 25) * 6)
    out = _mix(out, _wide(third), stripes * 0.25 * (k(11) > 0.86))
    shelf = torch.sigmoid((y - 0.35 - 0.4 * k(12)) * 120) * 0.5 * (k(13) > 0.75)
    out = _mix(out, _wide(two * 0.6), shelf)
    post = torch.sigmoid((0.06 + 0.1 * k(14) - (x - k(15) * width / height).abs()) * 120)
    out = _mix(out, _wide(third * 0.8), post * 0.6 * (k(16) > 0.75))
    edge = ((x - width / height / 2) ** 2 + (y - 0.5) ** 2) * 0.25
    return (out * (1 - edge[:, None])).clamp(0, 1)


def draw(canvas: Tensor, who: People, pose: Pose) -> Tensor:
    """Paint person n on canvas n ([N, 3, H, W], sRGB 0..1) and return the new canvas."""
    height, width = canvas.shape[-2:]
    gy, gx = _grid(height, width, canvas.device)
    u = _Numbers(who, pose)
    wide = width / height
    dx = (gx[None] - u.x) * wide / u.scale
    dy = (gy[None] - u.y) / u.scale
    px = 1.0 / (height * u.scale)
    ink = _Ink(px)
    cos, sin = torch.cos(u.roll), torch.sin(u.roll)
    turning = dy - 0.9  # the neck is the hinge
    hx = dx * cos + turning * sin
    hy = -dx * sin + turning * cos + 0.9
    out = canvas
    out = _back_hair(out, u, ink, hx, hy)
    out = _body(out, u, ink, dx, dy)
    out = _head(out, u, ink, hx, hy)
    fx, fy = hx - 0.07 * u.turn, hy - 0.05 * u.nod
    out = _nose(out, u, ink, fx - 0.03 * u.turn, fy)
    out = _mouth(out, u, ink, fx, fy)
    out = _eyes(out, u, ink, fx, fy)
    out = _front_hair(out, u, ink, hx, hy)
    return _glasses(out, u, ink, fx, fy)


class _Numbers:
    """People and pose as [N, 1, 1] numbers and [N, 3, 1, 1] colours."""

    def __init__(self, who: People, pose: Pose) -> None:
        for source in (who, pose):
            for f in fields(source):
                value = getattr(source, f.name)
                setattr(self, f.name, value[..., None, None])

    def __getattr__(self, name: str) -> Tensor:
        raise AttributeError(name)


class _Ink:
    """Coverage of a pixel by a shape with a signed distance."""

    def __init__(self, px: Tensor) -> None:
        self.px = px

    def fill(self, distance: Tensor, soft: float = 0.0) -> Tensor:
        """1 inside, 0 outside, a ramp as wide as a pixel (or `soft`) between."""
        return (0.5 - distance / (self.px + soft)).clamp(0, 1)

    def line(self, distance: Tensor, half: Any, soft: float = 0.0) -> Tensor:
        """A stroke along the zero of a distance; thinner than a pixel it pales instead."""
        return (0.5 - (distance.abs() - half) / (self.px + soft)).clamp(0, 1)


def _ellipse(x: Tensor, y: Tensor, a: Any, b: Any) -> Tensor:
    """Nearly the distance to an ellipse: the implicit function over its gradient's length."""
    k0 = torch.sqrt((x / a) ** 2 + (y / b) ** 2 + 1e-9)
    k1 = torch.sqrt((x / (a * a)) ** 2 + (y / (b * b)) ** 2 + 1e-9)
    return k0 * (k0 - 1) / k1


def _face_shape(x: Tensor, y: Tensor, u: Any) -> Tensor:
    low = y.clamp(min=0)
    narrow = 1 - u.jaw * low**1.7 * 0.75
    return _ellipse(x / narrow.clamp(min=0.4), y - 0.02, u.width, 0.99)


def _back_hair(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    bumps = 0.035 * u.curls * torch.sin(torch.atan2(y, x) * 17)
    cap = _ellipse(x, y + 0.16, u.width + u.hair_wide, 0.99 + u.hair_wide * 0.8) + bumps
    fall = _ellipse(x, y - 0.45, u.width + 0.10 + u.hair_wide, 0.35 + 0.85 * u.hair_long)
    fall = fall + bumps + (u.hair_long < 0.2) * 9.0
    whole = torch.minimum(cap, fall) + u.bald * 9.0
    shade = 0.62 + 0.12 * torch.sin(x * 24 + 3 * y) + 0.1 * u.light * x
    return _mix(out, u.hair * shade[:, None], ink.fill(whole))


def _body(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    neck = torch.maximum(x.abs() - 0.27 - 0.10 * (y - 1.0).clamp(min=0), (y - 1.6).abs() - 1.0)
    shoulders = _ellipse(x, y - 2.15, 1.45, 0.92)
    light = 1 + 0.10 * u.light * x - 0.10 * (y - 1.6)
    out = _mix(out, u.cloth * light[:, None], ink.fill(shoulders))
    shade = 0.90 - 0.30 * torch.exp(-(((y - 0.95) / 0.22) ** 2)) + 0.06 * u.light * x
    out = _mix(out, u.skin * shade[:, None], ink.fill(neck) * (y < 1.42))
    round_cut = _ellipse(x, y - 1.28, 0.44, 0.26)
    open_cut = x.abs() * 1.5 + (y - 1.85)
    cut = torch.where(u.collar > 0.5, open_cut, round_cut)
    cut = torch.maximum(cut, 1.1 - y)
    chest = torch.maximum(cut, shoulders + 0.02)
    out = _mix(out, u.skin * (shade + 0.02)[:, None], ink.fill(chest))
    seam = ink.line(cut, 0.022) * ink.fill(shoulders) * (y > 1.25)
    return _mix(out, u.cloth * 0.72, seam)


def _head(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    for side in (-1.0, 1.0):
        ear = _ellipse(x - side * (u.width + 0.01), y - 0.06, 0.11, 0.19)
        inner = _ellipse(x - side * (u.width + 0.02), y - 0.06, 0.055, 0.11)
        out = _mix(out, u.skin * 0.90, ink.fill(ear))
        out = _mix(out, u.skin * 0.76, ink.fill(inner, 0.05))
    shape = _face_shape(x, y, u)
    rim = torch.exp((shape / 0.16).clamp(max=0)) * 0.16
    light = 1.02 + 0.07 * u.light * x - 0.05 * y - rim
    glow = 0.06 * torch.exp(-((x - 0.25 * u.light) ** 2 + (y + 0.45) ** 2) / 0.12)
    skin = u.skin * (light + glow)[:, None]
    out = _mix(out, skin, ink.fill(shape))
    rose = torch.tensor([0.93, 0.42, 0.42], device=x.device).view(1, 3, 1, 1)
    for side in (-1.0, 1.0):
        cheek = torch.exp(-(((x - side * 0.44) / 0.18) ** 2 + ((y - 0.28) / 0.13) ** 2))
        out = _mix(out, rose * (0.35 + 0.65 * u.skin), cheek * 0.30 * u.blush * ink.fill(shape))
    dots = torch.sin(x * 57 + 5 * torch.sin(y * 31)) * torch.sin(y * 49 + 4 * torch.sin(x * 37))
    spots = torch.sigmoid((dots - 0.8) * 30) * torch.exp(-(((y - 0.2) / 0.14) ** 2))
    return _mix(out, u.skin * 0.7, spots * 0.6 * u.freckles * ink.fill(shape + 0.15))


def _nose(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    tip = u.nose_len
    side = torch.where(u.light > 0, -1.0, 1.0)
    ridge = torch.exp(-(((x - side * 0.055) / 0.035) ** 2))
    along = torch.sigmoid((y + 0.05) * 18) * torch.sigmoid((tip - 0.03 - y) * 22)
    out = _mix(out, u.skin * 0.74, ridge * along * 0.40)
    under = torch.exp(-((x / (u.nose_wide * 0.9)) ** 2 + ((y - tip - 0.015) / 0.035) ** 2))
    out = _mix(out, u.skin * 0.68, under * 0.60)
    for s in (-1.0, 1.0):
        hole = _ellipse(x - s * u.nose_wide * 0.48, y - tip, 0.030, 0.019)
        out = _mix(out, u.skin * 0.40, ink.fill(hole, 0.02) * 0.75)
        wing = torch.exp(-(((x - s * u.nose_wide) / 0.028) ** 2 + ((y - tip + 0.035) / 0.055) ** 2))
        out = _mix(out, u.skin * 0.72, wing * 0.40)
    shine = torch.exp(-(((x + side * 0.012) / 0.030) ** 2 + ((y - tip + 0.075) / 0.05) ** 2))
    return _mix(out, torch.ones_like(u.skin), shine * 0.28)


MOUTH_TALL = 0.165  # half the height of the widest opening, in face units


def _mouth(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    half = u.mouth_wide * (1 + 0.16 * u.spread - 0.10 * u.opening)
    tall = MOUTH_TALL * u.opening
    my = y - u.mouth_y - 0.55 * tall  # the jaw goes down, the upper lip hardly moves
    smile = 0.10 * (1 - u.opening)
    bend = my + smile * (x / 0.3) ** 2 * 0.5
    taper = (1 - (x / (half * 1.10)) ** 2).clamp(min=0)
    outer_up = taper**0.75 * (tall + u.lip_thick * (0.88 - 0.16 * torch.exp(-((x / 0.05) ** 2))))
    outer_low = taper**0.60 * (tall + u.lip_thick * 1.25)
    ends = x.abs() - half * 1.10
    upper = torch.maximum(torch.maximum(-bend - outer_up, bend), ends)
    lower = torch.maximum(torch.maximum(bend - outer_low, -bend), ends)
    shadow = torch.exp(-((x / (half * 0.7)) ** 2 + ((bend - outer_low - 0.06) / 0.045) ** 2))
    out = _mix(out, u.skin * 0.70, shadow * 0.42)
    out = _mix(out, u.lips * 0.86, ink.fill(upper * 0.8))
    sheen = torch.exp(-((x / 0.10) ** 2 + ((bend - tall - u.lip_thick * 0.55) / 0.028) ** 2))
    out = _mix(out, u.lips * 1.04, ink.fill(lower * 0.8))
    out = _mix(out, torch.ones_like(u.lips), sheen * 0.22)
    inside = bend.abs() - tall * ((1 - (x / (half * 0.93)) ** 2).clamp(min=0)) ** 0.5
    seam = inside - 0.010 * (taper > 0) * (taper**0.5)
    dark = torch.tensor([0.17, 0.045, 0.06], device=x.device).view(1, 3, 1, 1)
    hole = ink.fill(seam * 0.9) * (x.abs() < half * 1.02)
    out = _mix(out, dark.expand_as(u.lips), hole * (0.62 + 0.38 * (u.opening * 6).clamp(0, 1)))
    deep = ink.fill(inside + 0.006) * (x.abs() < half * 0.93)
    tongue = _ellipse(x, bend - tall * 0.95, half * 0.55, tall * 0.55 + 1e-3)
    rose = torch.tensor([0.42, 0.13, 0.15], device=x.device).view(1, 3, 1, 1)
    out = _mix(out, rose.expand_as(u.lips), ink.fill(tongue, 0.03) * deep * 0.8)
    white = torch.tensor([0.94, 0.93, 0.90], device=x.device).view(1, 3, 1, 1)
    teeth = torch.maximum(bend + tall * 0.62, x.abs() - half * 0.66)
    strong = ((u.opening - 0.12) * 5).clamp(0, 1) * 0.92
    return _mix(out, white.expand_as(u.lips), ink.fill(teeth, 0.012) * deep * strong)


def _eyes(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    for side in (-1.0, 1.0):
        ex = (x - side * u.eye_x) * side  # towards the temple
        ey = y - u.eye_y + u.eye_slant * 0.35 * ex
        a, b = u.eye_size, u.eye_size * 0.58
        arc = (1 - (ex / a) ** 2).clamp(min=0)
        top = -b * arc**0.70 * (1 - 1.75 * u.blink)
        bottom = b * 0.80 * arc**0.85
        socket = torch.exp(-((ex / (a * 1.25)) ** 2 + ((ey + 0.02) / (b * 1.7)) ** 2))
        out = _mix(out, u.skin * 0.78, socket * 0.30)
        gap = torch.maximum(top - ey, ey - bottom)
        gap = torch.maximum(gap, ex.abs() - a)
        ball = ink.fill(gap * 0.85)
        white = torch.tensor([0.97, 0.97, 0.98], device=x.device).view(1, 3, 1, 1)
        shade = 1 - 0.22 * torch.exp((top - ey) / 0.05).clamp(max=1)
        out = _mix(out, white * shade[:, None], ball)
        ix, iy = ex - 0.03 * u.gaze * side, ey + 0.006
        ring = torch.hypot(ix, iy)
        r = u.eye_size * 0.50
        glow = 0.75 + 0.55 * (iy / r).clamp(-0.3, 1)
        out = _mix(out, u.iris * glow[:, None], ink.fill(ring - r) * ball)
        out = _mix(out, u.iris * 0.45, ink.line(ring - r, 0.010) * ball * 0.8)
        out = _mix(out, torch.full_like(u.iris, 0.04), ink.fill(ring - r * 0.50) * ball)
        glint = torch.hypot(ix - side * 0.35 * r * torch.ones_like(ix), iy + 0.38 * r)
        out = _mix(out, torch.ones_like(u.iris), ink.fill(glint - r * 0.24) * ball)
        lash = u.hair * 0.35 + 0.02
        lid = torch.maximum((ey - top).abs() - 0.021, ex.abs() - a * 1.06)
        out = _mix(out, lash, ink.fill(lid))
        rim = torch.maximum((ey - bottom).abs() - 0.008, ex.abs() - a)
        out = _mix(out, u.skin * 0.55, ink.fill(rim) * 0.7)
        fold = torch.maximum((ey + b * 1.35 * arc**0.6).abs() - 0.009, ex.abs() - a * 0.95)
        out = _mix(out, u.skin * 0.70, ink.fill(fold, 0.01) * 0.6)
        bx = ex + 0.02
        by = y - u.brow_y + 0.07 * u.brow + u.brow_arch * (1 - (bx / 0.24) ** 2)
        thick = u.brow_thick * (1.05 - 0.55 * ((bx + 0.2) / 0.4).clamp(0, 1))
        thick = thick * (1 - (bx / 0.225).abs().clamp(max=1) ** 4)
        brow = torch.maximum(by.abs() - thick, bx.abs() - 0.22)
        out = _mix(out, u.hair * 0.62 + 0.02, ink.fill(brow, 0.012) * 0.92)
    return out


def _front_hair(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    bumps = 0.03 * u.curls * torch.sin(torch.atan2(y + 0.2, x) * 19)
    cap = _ellipse(x, y + 0.13, u.width + 0.05 + 0.3 * u.hair_wide, 0.99 + 0.5 * u.hair_wide)
    side = 0.16 * u.parting
    opening = _ellipse(
        x - side * 0.6, y - 0.32, u.width * 0.99 - 0.05 * u.fringe, 0.32 - u.hairline
    )
    sweep = _ellipse(x + 0.75 * u.parting, y - 0.30, u.width * 1.30, 0.40 - u.hairline)
    hollow = torch.where(u.fringe > 0.45, torch.maximum(opening, sweep), opening)
    clear = _ellipse(x, y - 0.42, u.width * 0.96, 0.87)  # eyes and brows stay visible
    hollow = torch.minimum(hollow, clear)
    locks = torch.maximum(cap + bumps, -(hollow + 0.02 * torch.sin(x * 21) * u.fringe))
    locks = torch.maximum(locks, y - 0.12 - 0.9 * u.hair_long + 0.25 * x.abs()) + u.bald * 9.0
    shadow = ink.fill(locks - 0.05, 0.10) * ink.fill(_face_shape(x, y, u))
    out = _mix(out, u.skin * 0.62, shadow * 0.35)
    angle = torch.atan2(x - 0.25 * u.parting, 1.25 - y)
    strands = torch.sin(angle * 46 + 2.2 * torch.sin(y * 5)) * 0.5 + 0.5 * torch.sin(angle * 89)
    band = torch.exp(-(((torch.hypot(x * 0.9, y - 0.1) - 0.88) / 0.10) ** 2))
    band = band * torch.exp(-((x - 0.35 * u.light) ** 2) / 0.18)
    shade = 0.93 + 0.07 * strands + 0.08 * u.light * x
    colour = u.hair * shade[:, None] + 0.16 * (band * (0.75 + 0.25 * strands))[:, None]
    return _mix(out, colour.clamp(0, 1), ink.fill(locks))


def _glasses(out: Tensor, u: Any, ink: _Ink, x: Tensor, y: Tensor) -> Tensor:
    frame = torch.tensor([0.09, 0.08, 0.09], device=x.device).view(1, 3, 1, 1).expand_as(u.hair)
    ey = y - u.eye_y
    power = 2.0 + 2.5 * (1 - u.glasses_round)
    for side in (-1.0, 1.0):
        ex = (x - side * (u.eye_x + 0.01)) / 0.255
        k = (ex.abs() ** power + (ey / 0.215).abs() ** power + 1e-6) ** (1 / power)
        rim = (k - 1) * 0.225
        out = _mix(out, torch.ones_like(frame), ink.fill(rim) * 0.10 * u.glasses)
        out = _mix(out, frame, ink.line(rim, 0.017) * u.glasses * 0.95)
        arm = torch.maximum((ey + 0.06).abs() - 0.015, (x * side - 0.70).abs() - 0.13)
        out = _mix(out, frame, ink.fill(arm) * u.glasses * 0.9)
    bridge = torch.maximum((ey + 0.05 - 0.6 * x**2).abs() - 0.015, x.abs() - 0.085)
    return _mix(out, frame, ink.fill(bridge) * u.glasses * 0.95)


def _mix(out: Tensor, colour: Tensor, cover: Tensor) -> Tensor:
    return torch.lerp(out, colour.expand_as(out), cover[:, None])


def _wide(colour: Tensor) -> Tensor:
    return colour[:, :, None, None]


def _grid(height: int, width: int, device: Any) -> tuple[Tensor, Tensor]:
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return y[:, None].expand(height, width), x[None, :].expand(height, width)


def _palette(colours: list[tuple[float, float, float]], at: Tensor) -> Tensor:
    table = torch.tensor(colours)
    place = at * (len(colours) - 1)
    low = place.long().clamp(max=len(colours) - 2)
    part = (place - low)[:, None]
    return table[low] * (1 - part) + table[low + 1] * part


def _choose(colours: list[tuple[float, float, float]], at: Tensor) -> Tensor:
    return torch.tensor(colours)[(at * len(colours)).long().clamp(max=len(colours) - 1)]


def _hues(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    rows = [
        colorsys.hsv_to_rgb(h % 1.0, s, v)
        for h, s, v in zip(hue.tolist(), saturation.tolist(), value.tolist(), strict=True)
    ]
    return torch.tensor(rows, device=hue.device)
