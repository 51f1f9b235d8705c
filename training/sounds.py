"""Makes speech to train on, and says what a mouth should do with it.

`mouth` is the truth of the whole project: how wide and how round a drawn mouth is, from the
loudness and the colour of clean speech. `Corpus.draw` cuts, bends and soils speech on the GPU.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812  the name that everybody knows

if TYPE_CHECKING:
    from pathlib import Path

Tensor = torch.Tensor

RATE = 16_000
FPS = 25
HOP = 160  # loudness is read a hundred times a second
PER_FRAME = RATE // FPS // HOP


def loudness(speech: Tensor, frames: int) -> Tensor:
    """Smoothed amplitude [B, frames] at 25 fps of speech [B, S], 1 where speech is active.

    A Gaussian of 50 ms over the power; the unit is the root mean square of the active parts.
    """
    power = _hops(speech.square(), frames)
    smooth = _gauss(power, 5.0)
    top = torch.quantile(smooth, 0.95, dim=1, keepdim=True)
    active = (smooth > 0.05 * top).float()
    unit = (smooth * active).sum(1, keepdim=True) / active.sum(1, keepdim=True).clamp(min=1)
    level = torch.sqrt(smooth / unit.clamp(min=1e-9)) * (unit > 1e-8)
    return _centres(level, frames)


def mouth(speech: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Opening 0..1 and spread -1..1, each [B, frames], of clean speech [B, S] at 16 kHz."""
    opening = torch.tanh(0.72 * (loudness(speech, frames) - 0.05).clamp(min=0))
    return opening, spread(speech, frames) * (opening * 8).clamp(max=1)


def spread(speech: Tensor, frames: int) -> Tensor:
    """How bright the voice is, -1 (o, u) to 1 (i, e, s), from two bands of the spectrum."""
    length = (frames * PER_FRAME + 4) * HOP
    padded = F.pad(speech, (0, max(0, length - speech.shape[1])))[:, :length]
    window = torch.hann_window(512, device=speech.device)
    bins = torch.stft(padded, 512, HOP, window=window, return_complex=True).abs().square()
    hertz = torch.arange(257, device=speech.device) * RATE / 512
    low = bins[:, (hertz > 180) & (hertz < 900)].sum(1)
    high = bins[:, (hertz > 1100) & (hertz < 4200)].sum(1)
    weight = (low + high) ** 0.25
    bright = torch.log10((high + 1e-7) / (low + 1e-7)) + 0.75
    smooth = _gauss(bright * weight, 5.0) / _gauss(weight, 5.0).clamp(min=1e-4)
    return _centres(torch.tanh(1.1 * smooth), frames)


def normalise(wave: Tensor) -> Tensor:
    """Zero mean and unit variance over the whole signal, as wav2vec2 hears it."""
    centred = wave - wave.mean(1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(1, keepdim=True) + 1e-7)


@dataclass
class Corpus:
    """Speech of many voices, one after the other, float32 [N] on a device."""

    samples: Tensor
    names: list[str]
    starts: list[int]

    @classmethod
    def load(cls, path: Path, device: Any = "cpu", minutes: float | None = None) -> Corpus:
        """Read an .ogg with its .json index, all of it or so many minutes."""
        import soundfile

        frames = -1 if minutes is None else round(minutes * 60 * RATE)
        samples, rate = soundfile.read(path, dtype="float32", frames=frames)
        assert rate == RATE
        index = json.loads(path.with_suffix(".json").read_text())
        return cls(
            samples=torch.from_numpy(samples).to(device),
            names=[entry["voice"] for entry in index],
            starts=[entry["start"] for entry in index],
        )

    def clean(self, count: int, seconds: float, chance: torch.Generator) -> Tensor:
        """Pieces [count, S] of clean speech at other speeds, with pauses, active level 1."""
        device, size = self.samples.device, round(seconds * RATE)
        speed = 0.87 + 0.33 * _uniform(count, chance)
        need = math.ceil(size * 1.2) + 2
        starts = (_uniform(count, chance) * (len(self.samples) - need)).long()
        place = torch.arange(size, device=device) * speed[:, None].to(device)
        low = place.long()
        part = place - low
        at = starts[:, None].to(device) + low
        wave = self.samples[at] * (1 - part) + self.samples[at + 1] * part
        return _level(wave * _pauses(count, size, chance).to(device))

    def draw(self, count: int, seconds: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Clean speech [count, S] and what the model hears of it (coloured, noisy, or nothing)."""
        clean = self.clean(count, seconds, chance)
        kind = _uniform(count, chance).to(clean.device)
        mute = (kind < 0.10).float()[:, None]
        clean = clean * (1 - mute)
        heard = _colour(clean, chance)
        noise = _noise(clean, self, chance)
        ratio = 6 + 40 * _uniform(count, chance).to(clean.device)[:, None]
        gain = 10 ** (-ratio / 20) * (kind > 0.30).float()[:, None]
        gain = torch.where(
            (kind < 0.06)[:, None], 10 ** (-1 - 3 * _uniform(count, chance).to(kind)[:, None]), gain
        )
        return clean, heard + gain * noise


def _noise(like: Tensor, corpus: Corpus, chance: torch.Generator) -> Tensor:
    """Noise of unit power: white, pink, brown, hum, a chord, or a distant crowd."""
    count, size = like.shape
    device = like.device
    white = torch.randn(count, size, generator=chance, device=chance.device).to(device)
    kind = (_uniform(count, chance) * 6).long()
    spectrum = torch.fft.rfft(white)
    hertz = torch.arange(spectrum.shape[1], device=device).clamp(min=8)
    slope = torch.tensor([0.0, 0.5, 1.0, 1.0, 0.0, 0.0], device=kind.device)[kind].to(device)[
        :, None
    ]
    noise = torch.fft.irfft(spectrum * hertz ** (-slope), n=size)
    time = torch.arange(size, device=device) / RATE
    hum, chord = torch.zeros_like(noise), torch.zeros_like(noise)
    base = 45 + 20 * _uniform(count, chance).to(device)[:, None]
    for k in range(1, 6):
        hum = hum + torch.sin(2 * math.pi * base * k * time) / k
    beat = 0.4 + 0.5 * _uniform(count, chance).to(device)[:, None]
    for k in range(5):
        note = 110 * 2 ** ((_uniform(count, chance) * 30).long().to(device)[:, None] / 12)
        phase = (time / beat + k * 0.37) % 1
        chord = chord + torch.sin(2 * math.pi * note * time) * torch.exp(-2.5 * phase)
    noise = torch.where((kind == 3).to(device)[:, None], noise * 0.02 + hum, noise)
    noise = torch.where((kind == 4).to(device)[:, None], chord, noise)
    crowd = torch.zeros_like(noise)
    for _ in range(6):
        start = (_uniform(count, chance) * (len(corpus.samples) - size)).long().to(device)
        crowd = crowd + corpus.samples[start[:, None] + torch.arange(size, device=device)]
    noise = torch.where((kind == 5).to(device)[:, None], crowd, noise)
    return noise / noise.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


def _colour(wave: Tensor, chance: torch.Generator) -> Tensor:
    """Each wave through its own five-tap filter: rooms, microphones, distance."""
    count = wave.shape[0]
    taps = torch.zeros(count, 1, 5, device=chance.device)
    taps[:, 0, 2] = 1
    taps = taps + 0.28 * (2 * torch.rand(count, 1, 5, generator=chance, device=chance.device) - 1)
    return F.conv1d(wave[None], taps.to(wave), padding=2, groups=count)[0]


def _pauses(count: int, size: int, chance: torch.Generator) -> Tensor:
    """1 where speech is kept, 0 in up to three pauses, with soft edges."""
    time = torch.arange(size, device=chance.device) / RATE
    keep = torch.ones(count, size, device=chance.device)
    seconds = size / RATE
    for _ in range(max(1, round(seconds / 3))):
        centre = _uniform(count, chance)[:, None] * seconds
        half = (0.1 + 0.6 * _uniform(count, chance)[:, None]) * (
            _uniform(count, chance)[:, None] > 0.6
        )
        keep = keep * torch.sigmoid(((time - centre).abs() - half) * 200 + 4)
    return keep


def _level(wave: Tensor) -> Tensor:
    power = F.avg_pool1d(wave.square()[:, None], 1600, 800)[:, 0]
    top = power.amax(1, keepdim=True)
    active = (power > 0.1 * top).float()
    unit = (power * active).sum(1, keepdim=True) / active.sum(1, keepdim=True).clamp(min=1)
    return wave / unit.clamp(min=1e-9).sqrt()


def _hops(values: Tensor, frames: int) -> Tensor:
    need = (frames * PER_FRAME + 4) * HOP
    values = F.pad(values, (0, max(0, need - values.shape[1])))[:, :need]
    return values.unflatten(1, (-1, HOP)).mean(2)


def _gauss(values: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    at = torch.arange(-reach, reach + 1, device=values.device)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None]
    return F.conv1d(F.pad(values[:, None], (reach, reach)), kernel)[:, 0]


def _centres(values: Tensor, frames: int) -> Tensor:
    """The value in the middle of each video frame, of hops of 10 ms."""
    start = PER_FRAME // 2
    left = values[:, start - 1 :: PER_FRAME][:, :frames]
    right = values[:, start::PER_FRAME][:, :frames]
    return (left + right) / 2


def _uniform(count: int, chance: torch.Generator) -> Tensor:
    return torch.rand(count, generator=chance, device=chance.device)
