"""Lets these tests use the training tools, which no package installs."""

from __future__ import annotations

import sys
from pathlib import Path

TRAINING = Path(__file__).parents[2] / "training"

sys.path[:0] = [str(TRAINING), str(Path(__file__).parent)]
