"""Trains the small speech encoder to hear what a mouth should do.

    python training/speech.py --state FOLDER [--seconds 150] [--resume]

Each transformer layer, through a head that is thrown away, predicts opening and spread of the
mouth from coloured, noisy or silent speech; the truth is read off the clean speech. Pieces of
3 to 24 seconds teach it to work at any length.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import loop
import meter
import sounds
import torch
from torch import nn

from itk_engine.conditioning.speech import SpeechEncoder
from itk_engine.conditioning.wav2vec import SpeechConfig

Tensor = torch.Tensor

CONFIG = SpeechConfig(
    conv_dim=(32, 32, 48, 48, 64, 64, 64),
    hidden_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=192,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    do_stable_layer_norm=True,
)
LENGTHS = ((3.3, 96), (6.0, 48), (12.0, 24), (24.0, 12))


def main() -> None:  # noqa: PLR0915  a stage reads from top to bottom
    """Train for so many seconds and leave state, weights, curve and facts in the folder."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--state", type=Path, required=True)
    ask.add_argument("--speech", type=Path, default=Path(".train"))
    ask.add_argument("--seconds", type=float, default=150)
    ask.add_argument("--resume", action="store_true")
    ask.add_argument("--small", type=float, default=1.0)
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = ask.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    device = torch.device(given.device)
    torch.manual_seed(12)
    model = Listener().to(device)
    optimiser = loop.Optimiser(model, plain=("encoder.feature_extractor", "heads"))
    state = loop.load(given.state, "speech") if given.resume else None
    if state:
        optimiser.resume(state)
    corpus = sounds.Corpus.load(given.speech / "train.ogg", device)
    curve = loop.Curve(given.state / "speech-curve")
    clock = loop.Clock(given.seconds)
    chance = torch.Generator(device).manual_seed(optimiser.steps + 9)
    lengths = torch.Generator().manual_seed(optimiser.steps + 10)
    while clock.share < 1:
        seconds, count = LENGTHS[int(torch.randint(len(LENGTHS), (), generator=lengths))]
        count = max(2, round(count * given.small))
        clean, heard = corpus.draw(count, seconds, chance)
        error = model.error(clean, sounds.normalise(heard), int(seconds * sounds.FPS))
        error.backward()
        factor = loop.rate(clock.share, warm=0.01, hold=0.3, end=0.005)
        optimiser.rates(muon=4e-3 * factor, adam=2e-3 * factor, average=0.995)
        optimiser.step()
        if optimiser.steps % 100 == 0 or given.small < 1:
            curve.add(step=optimiser.steps, seconds=clock.spent, error=float(error))
    loop.save(given.state, "speech", optimiser.state())
    model.load_state_dict(loop.averaged(model, optimiser))
    state = {n: t.half().cpu() for n, t in model.state_dict().items()}
    torch.save(state, given.state / "speech-average.pt")
    facts = measure(model, given.speech, device)
    print("held-out voices", json.dumps(facts), flush=True)
    (given.state / "speech-facts.json").write_text(json.dumps(facts))
    curve.write()


class Listener(nn.Module):
    """The encoder with a head on each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(CONFIG)
        self.heads = nn.ModuleList(
            nn.Linear(CONFIG.hidden_size, 2) for _ in range(CONFIG.num_hidden_layers)
        )

    def forward(self, heard: Tensor, frames: int) -> Tensor:
        """Opening and spread by each layer, [B, frames, layers, 2]."""
        hidden = self.encoder(heard, frames)
        return torch.stack([head(hidden[:, :, i]) for i, head in enumerate(self.heads)], 2)

    def error(self, clean: Tensor, heard: Tensor, frames: int) -> Tensor:
        """Squared error, openings four times as heavy as spreads."""
        opening, spread = sounds.mouth(clean, frames)
        guess = self(heard, frames)
        first = (guess[..., 0] - opening[..., None]).square().mean()
        second = (guess[..., 1] - spread[..., None]).square().mean()
        return 4 * first + second


@torch.no_grad()
def measure(model: Listener, folder: Path, device: torch.device) -> dict[str, float]:
    """How well the last layer hears held-out voices, silence and faint noise."""
    corpus = sounds.Corpus.load(folder / "held_out.ogg", device)
    chance = torch.Generator(device).manual_seed(21)
    facts: dict[str, float] = {}
    for seconds in (3.3, 12.0):
        frames = int(seconds * sounds.FPS)
        clean = corpus.clean(24, seconds, chance)
        opening, spread = sounds.mouth(clean, frames)
        guess = model(sounds.normalise(clean), frames)[:, :, -1]
        scores = torch.tensor(
            [meter.correlation(a, b) for a, b in zip(guess[..., 0], opening, strict=True)]
        )
        facts[f"opening_{seconds:g}s_median"] = float(scores.median())
        facts[f"opening_{seconds:g}s_least"] = float(scores.min())
        facts[f"spread_{seconds:g}s"] = meter.correlation(guess[..., 1].flatten(), spread.flatten())
    frames = 82
    silence = torch.zeros(1, 16000 * 3 + 4800, device=device)
    noise = torch.randn(8, silence.shape[1], generator=chance, device=device)
    facts["silence"] = float(model(silence, frames)[..., -1, 0].max())
    facts["noise"] = float(model(sounds.normalise(noise), frames)[..., -1, 0].quantile(0.95))
    return facts


if __name__ == "__main__":
    main()
