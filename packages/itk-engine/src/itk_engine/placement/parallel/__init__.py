"""Several devices working on one video."""

from .launch import start_team
from .sequence import SequenceParallel
from .split import Split, plan_split, shares
from .team import Team, TeamPredictor

__all__ = [
    "SequenceParallel",
    "Split",
    "Team",
    "TeamPredictor",
    "plan_split",
    "shares",
    "start_team",
]
