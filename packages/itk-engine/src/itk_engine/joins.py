"""Lets what re-encoding changes at a join of chunks fade out instead of jump."""

import torch
from torch import Tensor


def fade_join(video: Tensor, shown: Tensor, *, overlap: int, frames: int) -> Tensor:
    """Bring the first frames after a join to where the chunk before ended; changes `video`.

    A chunk begins with motion frames that went through the autoencoder once more, so that they are
    not quite what was shown, and the frames that follow are like them. The difference at the last
    motion frame is added to the `frames` frames after it, less and less.

    Args:
        video: the new chunk [3, F, H, W] in [-1, 1], whose first `overlap` frames are not shown.
        shown: the frame [3, H, W] that was shown last.
        overlap: how many motion frames the chunk begins with.
        frames: over how many frames the difference fades; 0 changes nothing.
    """
    later = video[:, overlap : overlap + frames]
    count = later.shape[1]
    if count:
        shares = 1 - torch.arange(1, count + 1, device=video.device) / (count + 1)
        difference = shown.to(video.device) - video[:, overlap - 1]
        later.add_(difference[:, None] * shares[:, None, None]).clamp_(-1, 1)
    return video
