"""The InfiniteTalk transformer at any size."""

from .conditions import Conditions, TimeSignal
from .config import DiTConfig
from .dit import DiT, grid_of, region_tokens

__all__ = ["Conditions", "DiT", "DiTConfig", "TimeSignal", "grid_of", "region_tokens"]
