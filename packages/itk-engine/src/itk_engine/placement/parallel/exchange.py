"""Trades tokens for heads among processes, and back."""

# ruff: noqa: N803  tensors wear their shapes
# L all tokens, l tokens of this process, N all heads, n heads of this process, H head width
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import distributed

from .split import shares

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True, eq=False)
class Circle:
    """Processes that share the tokens of one prediction: their group and this one's place."""

    group: Any  # torch.distributed's process group
    rank: int
    size: int


@frozen(kw_only=True, eq=False)
class Sharing:
    """Which of `tokens` and `heads` each process of a circle holds.

    Shares differ by one at most and are exchanged at their own sizes, so nothing is padded and
    no attention ever sees a token that is not there.
    """

    circle: Circle
    tokens: tuple[int, ...]
    heads: tuple[int, ...]

    @classmethod
    def of(cls, circle: Circle, *, tokens: int, heads: int) -> Sharing:
        """Share tokens and heads out as evenly as they divide."""
        return cls(
            circle=circle, tokens=shares(tokens, circle.size), heads=shares(heads, circle.size)
        )

    @property
    def start(self) -> int:
        """The first token of this process."""
        return sum(self.tokens[: self.circle.rank])

    @property
    def stop(self) -> int:
        """The token after the last one of this process."""
        return self.start + self.tokens[self.circle.rank]

    def to_heads(self, x_1lNH: Tensor) -> Tensor:
        """Give this process's tokens of all heads, take all tokens of its heads: [1, L, n, H]."""
        own_tokens, own_heads = self.tokens[self.circle.rank], self.heads[self.circle.rank]
        width = x_1lNH.shape[-1]
        sent = torch.cat([part.flatten() for part in x_1lNH[0].split(self.heads, dim=1)])
        taken = self._trade(
            sent,
            gives=[own_tokens * heads * width for heads in self.heads],
            takes=[tokens * own_heads * width for tokens in self.tokens],
        )
        return taken.view(1, sum(self.tokens), own_heads, width)

    def to_tokens(self, x_1LnH: Tensor) -> Tensor:
        """The way back: [1, l, N, H] of [1, L, n, H]."""
        own_tokens, own_heads = self.tokens[self.circle.rank], self.heads[self.circle.rank]
        width = x_1LnH.shape[-1]
        takes = [own_tokens * heads * width for heads in self.heads]
        taken = self._trade(
            x_1LnH.flatten(),
            gives=[tokens * own_heads * width for tokens in self.tokens],
            takes=takes,
        )
        parts = [part.view(own_tokens, -1, width) for part in taken.split(takes)]
        return torch.cat(parts, dim=1).unsqueeze(0)

    def gather(self, x_1lD: Tensor) -> Tensor:
        """Return the tokens of all processes, [1, L, D]."""
        most = self.tokens[0]
        own = x_1lD[0]
        if own.shape[0] < most:
            own = torch.cat((own, own.new_zeros(most - own.shape[0], own.shape[1])))
        everyone = own.new_empty(most * self.circle.size, own.shape[1])
        distributed.all_gather_into_tensor(everyone, own.contiguous(), group=self.circle.group)
        if len(set(self.tokens)) > 1:
            parts = zip(everyone.split(most), self.tokens, strict=True)
            everyone = torch.cat([part[:count] for part, count in parts])
        return everyone.unsqueeze(0)

    def _trade(self, sent: Tensor, *, gives: list[int], takes: list[int]) -> Tensor:
        taken = sent.new_empty(sum(takes))
        distributed.all_to_all_single(taken, sent, takes, gives, group=self.circle.group)
        return taken
