"""What lives on which device, and when."""

from .caches import keep_kernels
from .home import FirstPlaces, Home, first_places
from .memory import device_budget_bytes, free_device_memory, host_budget_bytes
from .planner import (
    Demand,
    Pinned,
    Plan,
    PlanError,
    Wishes,
    plan_placement,
    resident_blocks_for,
)
from .sizes import GIB, Picture, Precision, model_parameters
from .streaming import BlockStreamer

__all__ = [
    "GIB",
    "BlockStreamer",
    "Demand",
    "FirstPlaces",
    "Home",
    "Picture",
    "Pinned",
    "Plan",
    "PlanError",
    "Precision",
    "Wishes",
    "device_budget_bytes",
    "first_places",
    "free_device_memory",
    "host_budget_bytes",
    "keep_kernels",
    "model_parameters",
    "plan_placement",
    "resident_blocks_for",
]
