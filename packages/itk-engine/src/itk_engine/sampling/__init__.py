"""From noise to picture: times, guidance, skipped steps, noise."""

from .apg import ProjectedGuidance
from .denoise import MakePredict, Predict, Predictor, Sampling, denoise
from .guidance import Branch, Guidance, Guide
from .noise import Noise, RecordedNoise, SeededNoise
from .schedule import euler_step, timesteps
from .teacache import Decision, SkipPlan, TeaCache, plan_reference_skips, plan_skips

__all__ = [
    "Branch",
    "Decision",
    "Guidance",
    "Guide",
    "MakePredict",
    "Noise",
    "Predict",
    "Predictor",
    "ProjectedGuidance",
    "RecordedNoise",
    "Sampling",
    "SeededNoise",
    "SkipPlan",
    "TeaCache",
    "denoise",
    "euler_step",
    "plan_reference_skips",
    "plan_skips",
    "timesteps",
]
