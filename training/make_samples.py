"""Makes the portraits and speeches that ship with the client.

    python training/make_samples.py packages/itk-client/src/itk_client/samples

Needs espeak-ng for the speeches; the files are committed, so nobody else does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from array import array
from pathlib import Path

import faces
import torch
from PIL import Image

PORTRAIT_SEED = 910_001
COUPLE_SEEDS = (910_002, 910_003)
SECONDS = 3.2
SPEECHES = {
    "speech.wav": ("en-us+f3", 180, 58, "Hello! I am only a drawing, but now I can talk."),
    "speech2.wav": ("en-gb+m3", 172, 42, "And I am the other one. I answer with my own words."),
}  # fmt: skip


def main(folder: Path) -> None:
    """Write portrait.png, couple.png, speech.wav and speech2.wav."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(portrait(512), folder / "portrait.png")
    _save(couple(448, 896), folder / "couple.png")
    for name, (voice, speed, pitch, text) in SPEECHES.items():
        speak(folder / name, voice=voice, speed=speed, pitch=pitch, text=text)
    for path in sorted(folder.glob("*.*")):
        print(path.name, path.stat().st_size)


def portrait(size: int) -> torch.Tensor:
    """The woman with the auburn hair, [3, size, size]."""
    one = torch.ones(1)
    who = faces.people([PORTRAIT_SEED]).vary(
        skin=torch.tensor([[0.95, 0.77, 0.65]]),
        hair=torch.tensor([[0.42, 0.22, 0.13]]),
        iris=torch.tensor([[0.27, 0.44, 0.33]]),
        lips=torch.tensor([[0.80, 0.42, 0.40]]),
        cloth=torch.tensor([[0.16, 0.38, 0.46]]),
        width=0.755 * one,
        jaw=0.27 * one,
        eye_size=0.168 * one,
        eye_slant=0.06 * one,
        brow_thick=0.030 * one,
        brow_arch=0.06 * one,
        mouth_wide=0.275 * one,
        lip_thick=0.062 * one,
        hairline=-0.60 * one,
        parting=0.55 * one,
        fringe=0.9 * one,
        hair_long=0.85 * one,
        hair_wide=0.15 * one,
        curls=0 * one,
        bald=0 * one,
        glasses=0 * one,
        blush=0.8 * one,
        light=0.6 * one,
        collar=one,
        freckles=0 * one,
    )
    pose = _rest(1, x=0.5, y=0.49, scale=0.335)
    return faces.draw(_warm(size, size), who, pose)[0]


def couple(height: int, width: int) -> torch.Tensor:
    """A man with glasses on the left and a woman on the right, [3, height, width]."""
    one = torch.ones(1)
    both = [faces.people([seed]) for seed in COUPLE_SEEDS]
    left = both[0].vary(
        skin=torch.tensor([[0.66, 0.46, 0.33]]),
        hair=torch.tensor([[0.13, 0.10, 0.09]]),
        lips=torch.tensor([[0.58, 0.32, 0.30]]),
        cloth=torch.tensor([[0.77, 0.62, 0.30]]),
        hair_long=0 * one, curls=0.8 * one, fringe=0.2 * one, hairline=-0.62 * one,
        glasses=one, glasses_round=one, collar=0 * one, bald=0 * one, freckles=0 * one,
        blush=0.3 * one,
    )  # fmt: skip
    right = both[1].vary(
        skin=torch.tensor([[0.97, 0.82, 0.72]]),
        hair=torch.tensor([[0.80, 0.61, 0.33]]),
        iris=torch.tensor([[0.25, 0.47, 0.62]]),
        lips=torch.tensor([[0.83, 0.45, 0.44]]),
        cloth=torch.tensor([[0.45, 0.25, 0.36]]),
        hair_long=0.9 * one, curls=0 * one, fringe=0.7 * one, parting=-0.8 * one,
        glasses=0 * one, collar=one, bald=0 * one, freckles=0 * one,
    )  # fmt: skip
    out = faces.draw(_warm(height, width), left, _rest(1, x=0.27, y=0.50, scale=0.33))
    return faces.draw(out, right, _rest(1, x=0.73, y=0.51, scale=0.325))[0]


def speak(path: Path, *, voice: str, speed: int, pitch: int, text: str) -> None:
    """Synthesise a speech, cut or padded to SECONDS, as 16-bit mono WAV at 22.05 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.wav"
        command = [
            "espeak-ng",
            "-v",
            voice,
            "-s",
            str(speed),
            "-p",
            str(pitch),
            "-w",
            str(raw),
            text,
        ]
        subprocess.run(command, check=True)
        with wave.open(str(raw)) as file:
            rate, samples = file.getframerate(), array("h", file.readframes(file.getnframes()))
    wanted = round(SECONDS * rate)
    print(path.name, f"{len(samples) / rate:.2f} s before padding")
    samples = samples[:wanted] + array("h", [0] * (wanted - len(samples)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def _warm(height: int, width: int) -> torch.Tensor:
    y = torch.linspace(0, 1, height)[:, None]
    x = torch.linspace(0, width / height, width)[None, :]
    top, low = torch.tensor([0.98, 0.90, 0.78]), torch.tensor([0.86, 0.66, 0.56])
    ramp = (0.15 + 0.75 * y + 0.10 * x).clamp(0, 1)
    out = top[:, None, None] * (1 - ramp) + low[:, None, None] * ramp
    discs = (
        (0.13, 0.2, 0.11, 0.35),
        (0.9, 0.15, 0.16, 0.3),
        (0.82, 0.6, 0.08, 0.25),
        (1.35, 0.3, 0.14, 0.3),
        (1.8, 0.2, 0.12, 0.3),
        (0.1, 0.65, 0.06, 0.3),
    )
    for cx, cy, r, a in discs:
        disc = torch.sigmoid((r - torch.hypot(x - cx, y - cy)) / 0.03) * a
        out = out + (1 - out) * disc
    return out[None]


def _rest(n: int, *, x: float, y: float, scale: float) -> faces.Pose:
    zero = torch.zeros(n)
    return faces.Pose(
        x=zero + x, y=zero + y, scale=zero + scale, roll=zero, turn=zero, nod=zero, blink=zero,
        brow=zero, opening=zero, spread=zero, gaze=zero,
    )  # fmt: skip


def _save(picture: torch.Tensor, path: Path) -> None:
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
