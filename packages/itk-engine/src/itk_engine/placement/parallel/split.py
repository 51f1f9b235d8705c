"""Chooses how several devices share a step: by branches, by tokens, or by both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from itk_engine.placement.sizes import block_linear_parameters

if TYPE_CHECKING:
    from itk_engine.model import DiTConfig

# Rates of one device, for weighing one split against another: bfloat16 products, attention, and
# what a device moves to the others in a second. Only their ratios matter.
LINEAR_FLOPS = 700e12
ATTENTION_FLOPS = 600e12
LINK_BYTES = 200e9


@frozen(kw_only=True)
class Split:
    """`groups` of devices work on different branches; each group shares tokens among `size`.

    Device r belongs to group r // size; devices from groups·size on are idle. Group g takes
    branches g, g + groups, g + 2·groups, ...; `idle` is the share of all devices' time that is
    spent waiting or exchanging.
    """

    groups: int
    size: int
    idle: float

    def branches_of(self, group: int, branches: int) -> tuple[int, ...]:
        """Return which branches, by place, a group computes."""
        return tuple(range(group, branches, self.groups))


def plan_split(
    shape: DiTConfig,
    *,
    tokens: int,
    branches: int,
    devices: int,
    link_bytes_per_second: float = LINK_BYTES,
) -> Split:
    """Choose the split that finishes a step first; of equals the one that exchanges least."""
    alone = branches * _seconds(shape, tokens, size=1, link=link_bytes_per_second)
    candidates = []
    for size in range(1, min(devices, shape.num_heads, tokens) + 1):
        groups = min(branches, devices // size)
        rounds = -(-branches // groups)
        taken = rounds * _seconds(shape, tokens, size=size, link=link_bytes_per_second)
        candidates.append((taken, size, groups))
    taken, size, groups = min(candidates)
    return Split(groups=groups, size=size, idle=max(0.0, 1 - alone / (devices * taken)))


def shares(total: int, parts: int) -> tuple[int, ...]:
    """Cut a number into parts that differ by one at most, the larger ones first."""
    return tuple(total // parts + (part < total % parts) for part in range(parts))


def _seconds(shape: DiTConfig, tokens: int, *, size: int, link: float) -> float:
    """Estimate one prediction of the device that has most to do."""
    rows, heads = shares(tokens, size)[0], shares(shape.num_heads, size)[0]
    linear = 2 * rows * block_linear_parameters(shape) / LINEAR_FLOPS
    attention = 4 * tokens**2 * heads * shape.head_width / ATTENTION_FLOPS
    exchanged = 4 * rows * shape.dim * 2 * (size - 1) / size / link
    return shape.num_layers * (linear + attention + exchanged)
