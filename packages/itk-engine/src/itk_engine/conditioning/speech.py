"""Listens to speech with wav2vec 2.0, one row of features for each video frame."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from numpy.typing import NDArray
from torch import Tensor, nn

from .stretches import Stretches, convolve_in_blocks
from .wav2vec import Encoder, FeatureExtractor, FeatureProjection, SpeechConfig

SAMPLE_RATE = 16_000
FRAMES_PER_SECOND = 25
_WINDOW = 5  # rows that one video frame hears


class SpeechEncoder(nn.Module):
    """wav2vec 2.0 whose convolutional features are brought to the video's frame rate.

    The features of all transformer layers are kept; the transformer's input is not.
    """

    def __init__(self, config: SpeechConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SpeechConfig()
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Encoder(config)
        # Hides frames while wav2vec 2.0 itself is trained; published files have it.
        self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))

    @torch.inference_mode()
    def embed(
        self, samples: NDArray[np.floating[Any]] | Tensor, *, stretches: Stretches | None = None
    ) -> Tensor:
        """Return the features float32 [frames, layers, channels] of samples [N] at 16 kHz.

        There are int(N / 16000 · 25) frames. Of speech over two minutes the convolutions are
        those of the whole, and the transformer hears it in overlapping stretches of a minute
        whose features are cross-faded.
        """
        speech = torch.as_tensor(samples).float()
        if self.config.do_normalize:
            speech = (speech - speech.mean()) / torch.sqrt(speech.var(unbiased=False) + 1e-7)
        frames = int(len(speech) / SAMPLE_RATE * FRAMES_PER_SECOND)
        stretches = stretches or Stretches()
        if frames <= stretches.whole_seconds * FRAMES_PER_SECOND:
            return self(speech[None], frames)[0].float().cpu()
        return self._embed_in_stretches(speech, frames, stretches)

    def forward(self, speech: Tensor, frames: int) -> Tensor:
        """Return [B, frames, layers, channels] of normalised samples [B, N]; differentiable."""
        weight = self.feature_projection.projection.weight
        heard = self.feature_extractor(speech.to(weight.device, weight.dtype)[:, None])
        return self._understand(_at_video_rate(heard, frames))

    def _understand(self, heard: Tensor) -> Tensor:
        """Return [B, frames, layers, channels] of convolutional features [B, C, frames]."""
        hidden = self.feature_projection(heard.transpose(1, 2))
        return torch.stack(list(self.encoder(hidden)), 2)

    def _embed_in_stretches(self, speech: Tensor, frames: int, stretches: Stretches) -> Tensor:
        weight = self.feature_projection.projection.weight
        speech = speech.to(weight.device, weight.dtype)
        heard = _at_video_rate(convolve_in_blocks(self.feature_extractor, speech), frames)
        features: Tensor | None = None
        done = 0
        for start, stop in stretches.of(frames):
            part = self._understand(heard[..., start:stop])[0].float().cpu()
            if features is None:
                features = part.new_empty(frames, *part.shape[1:])
            overlap = done - start
            share = torch.linspace(0, 1, overlap + 2)[1:-1, None, None]
            part[:overlap] = torch.lerp(features[start:done], part[:overlap], share)
            features[start:stop] = part
            done = stop
        assert features is not None
        return features


def _at_video_rate(heard: Tensor, frames: int) -> Tensor:
    return F.interpolate(heard, size=frames, mode="linear", align_corners=True)


def windows(features: Tensor, start: int, count: int) -> Tensor:
    """Return what frames start .. start + count hear: [count, 5, layers, channels].

    Two rows before, the frame's own, two after; beyond either end the outermost row again.
    """
    rows = torch.arange(start, start + count)[:, None] + torch.arange(_WINDOW) - _WINDOW // 2
    return features[rows.clamp(0, len(features) - 1)]
