"""The array types that cross this package's borders."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Sound, float32, nominally within -1..1: [N] for one channel, [N, channels] for more."""

Pixels = npt.NDArray[np.uint8]
"""sRGB pixels, uint8: [H, W, 3] for one picture, [F, H, W, 3] for frames."""
