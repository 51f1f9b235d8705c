"""Shares the tokens of a transformer's blocks among processes, from outside the model."""

# ruff: noqa: N803, N806  tensors wear their shapes
# B batch (1), L all tokens, l tokens of this process, D width, N heads, H head width,
# T latent frames, S speech tokens of a frame, K regions, R tokens of a frame
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve
from torch import distributed
from torch.nn import functional

from itk_engine.model.block import Block
from itk_engine.ops.speaker_map import speaker_map, speaker_positions

from .exchange import Sharing

if TYPE_CHECKING:
    from torch import Tensor

    from itk_engine.model import Conditions, DiT, TimeSignal
    from itk_engine.ops.attention import Attend

    from .exchange import Circle


class SequenceParallel:
    """Takes the place of a transformer's `run_blocks` (DeepSpeed-Ulysses, Jacobs et al. 2023).

    Each process computes everything that is done token by token for its share of the tokens.
    Around self-attention, tokens are traded for heads, so that each process attends over all
    tokens with some of the heads. Every process returns all tokens. The weights are whole on
    each process; embeddings and head run on all of them, on all tokens.
    """

    def __init__(self, dit: DiT) -> None:
        self._dit = dit
        self._alone = dit.run_blocks
        self._circle: Circle | None = None
        self._sharing: Sharing | None = None
        for block in dit.blocks:
            assert isinstance(block, Block)
            self._take_over(block)
        replaced: Any = dit
        replaced.run_blocks = self.run_blocks

    def use(self, circle: Circle | None) -> None:
        """Share with these processes from now on; None: compute alone."""
        self._circle = circle if circle is not None and circle.size > 1 else None

    def run_blocks(self, x_BLD: Tensor, time: TimeSignal, conditions: Conditions) -> Tensor:
        """Return the tokens [1, L, D] after all blocks, on every process."""
        if self._circle is None:
            return self._alone(x_BLD, time, conditions)
        assert x_BLD.shape[0] == 1
        heads = self._dit.config.num_heads
        sharing = Sharing.of(self._circle, tokens=x_BLD.shape[1], heads=heads)
        cos, sin = conditions.rotation
        own = slice(sharing.start, sharing.stop)
        own_conditions = evolve(conditions, rotation=(cos[own], sin[own]))
        self._sharing = sharing
        try:
            x = self._alone(x_BLD[:, own], time, own_conditions)
        finally:
            self._sharing = None
        return sharing.gather(x)

    def _take_over(self, block: Block) -> None:
        inner = block.self_attn.attend
        positions, hear = block.self_attn.positions, block.audio_cross_attn.hear
        speech_attend = block.audio_cross_attn.attend

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if self._sharing is None:
                return inner(q, k, v)
            return _attend_over_all(q, k, v, sharing=self._sharing, attend=inner)

        def place(q: Tensor, k: Tensor, regions: Tensor) -> Tensor:
            if self._sharing is None:
                return positions(q, k, regions)
            return _positions(q, k, regions, sharing=self._sharing, attend=inner)

        def listen(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if self._sharing is None:
                return hear(q, k, v)
            return _hear(q, k, v, sharing=self._sharing, attend=speech_attend)

        self_attention: Any = block.self_attn
        self_attention.attend, self_attention.positions = attend, place
        speech_attention: Any = block.audio_cross_attn
        speech_attention.hear = listen


def _attend_over_all(
    q_1lNH: Tensor, k_1lNH: Tensor, v_1lNH: Tensor, *, sharing: Sharing, attend: Attend
) -> Tensor:
    q, k, v = (sharing.to_heads(part) for part in (q_1lNH, k_1lNH, v_1lNH))
    return sharing.to_tokens(attend(q, k, v))


def _positions(
    q_1lNH: Tensor, k_1lNH: Tensor, regions_1KR: Tensor, *, sharing: Sharing, attend: Attend
) -> Tensor:
    """Place this process's tokens among the speakers, by the map's extremes over all tokens."""
    references = regions_1KR.shape[-1]
    k_1RNH = k_1lNH.new_zeros(1, references, *k_1lNH.shape[2:])
    inside = max(0, min(sharing.stop, references) - sharing.start)
    k_1RNH[:, sharing.start : sharing.start + inside] = k_1lNH[:, :inside]
    distributed.all_reduce(k_1RNH, group=sharing.circle.group)
    own = speaker_map(q_1lNH, k_1RNH, regions_1KR, attend=attend)
    low, high = own.amin(-1, keepdim=True), own.amax(-1, keepdim=True)
    distributed.all_reduce(low, distributed.ReduceOp.MIN, group=sharing.circle.group)
    distributed.all_reduce(high, distributed.ReduceOp.MAX, group=sharing.circle.group)
    return speaker_positions(own, (low, high))


def _hear(
    q_1lNH: Tensor, k_TSNH: Tensor, v_TSNH: Tensor, *, sharing: Sharing, attend: Attend
) -> Tensor:
    """Let each token attend to its own frame's speech; a share may begin within a frame.

    The frames at both ends are filled up with zero queries whose answers are dropped: rows of
    queries do not see each other.
    """
    per_frame = sum(sharing.tokens) // k_TSNH.shape[0]
    first, last = sharing.start // per_frame, -(-sharing.stop // per_frame)
    front, back = sharing.start - first * per_frame, last * per_frame - sharing.stop
    q = functional.pad(q_1lNH[0], (0, 0, 0, 0, front, back))
    heard = attend(
        q.unflatten(0, (last - first, per_frame)), k_TSNH[first:last], v_TSNH[first:last]
    )
    filled = heard.flatten(0, 1)
    return filled[front : filled.shape[0] - back].unsqueeze(0)
