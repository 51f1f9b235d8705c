"""Lets several processes predict the branches of a step together, one of them leading."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, frozen
from torch import distributed

from itk_engine.errors import UnsupportedFeatureError
from itk_engine.model import Conditions, TimeSignal, grid_of
from itk_engine.sampling import Branch, Predictor, SkipPlan

from .exchange import Circle
from .sequence import SequenceParallel
from .split import LINK_BYTES, Split, plan_split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from itk_engine.model import DiT

_LEADER = 0
_PATIENCE = dt.timedelta(minutes=10)  # an idle follower waits for orders without end


class Team:
    """The processes that share one model's predictions; every process makes its own.

    The leader runs the pipeline. For each chunk it sends the conditions, for each step the
    latent; everyone computes its part and the leader receives the velocities. Followers hold
    the transformer alone and wait between steps, so a generation may stop at any step without
    their noticing.
    """

    def __init__(self, dit: DiT, *, rank: int, size: int, meeting: str, backend: str) -> None:
        """Meet the others (`meeting` as torch.distributed's init_method) and learn all circles."""
        distributed.init_process_group(
            backend, init_method=meeting, rank=rank, world_size=size, timeout=_PATIENCE
        )
        self.rank, self.size = rank, size
        self.link_bytes_per_second = LINK_BYTES
        self._dit = dit
        self._sequence = SequenceParallel(dit)
        self._orders: Any = distributed.new_group(backend="gloo", timeout=dt.timedelta(days=365))
        self._circles = {
            (width, first): self._circle(range(first, first + width))
            for width in range(2, size + 1)
            for first in range(0, size - width + 1, width)
        }

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._dit.patch_embedding.weight.device

    def predictor(
        self,
        dit: DiT,
        *,
        time: TimeSignal,
        conditions: Mapping[Branch, Conditions],
        plan: SkipPlan | None = None,
        residuals: dict[int, Tensor] | None = None,
    ) -> TeamPredictor:
        """Return what predicts a chunk with the whole team; the leader's `Predictor`."""
        assert self.rank == _LEADER
        assert dit is self._dit
        if residuals is not None:
            raise UnsupportedFeatureError(
                "teacache", "the reference's way of counting runs on one device only"
            )
        picture = next(iter(conditions.values())).picture
        frames, rows, columns = grid_of(picture)
        split = plan_split(
            dit.config,
            tokens=frames * rows * columns,
            branches=len(conditions),
            devices=self.size,
            link_bytes_per_second=self.link_bytes_per_second,
        )
        chunk = _Chunk(split=split, time=time, conditions=dict(conditions), plan=plan)
        self._order(chunk.on_host())
        return TeamPredictor(self, self._begin(chunk), split)

    def follow(self) -> None:
        """Compute what the leader orders until it dismisses the team."""
        member: _Member | None = None
        with torch.inference_mode():
            while (order := self._listen()) is not None:
                if isinstance(order, _Chunk):
                    member = self._begin(order.on_device(self._dit))
                    continue
                assert isinstance(order, _Step)
                assert member is not None
                latent = torch.empty(order.shape, device=self.device)
                member.step(order.step, latent)

    def dismiss(self) -> None:
        """Leave the team; the leader sends the followers home first."""
        if self.rank == _LEADER:
            self._order(None)
        self._sequence.use(None)
        distributed.destroy_process_group()

    def order_step(self, step: int, latent: Tensor) -> None:
        """Tell the followers which step comes; the latent follows."""
        self._order(_Step(step=step, shape=tuple(latent.shape)))

    def _begin(self, chunk: _Chunk) -> _Member:
        group, place = divmod(self.rank, chunk.split.size)
        works = group < chunk.split.groups
        circle = self._circles.get((chunk.split.size, group * chunk.split.size))
        self._sequence.use(circle if works else None)
        predictor = Predictor(
            self._dit, time=chunk.time, conditions=chunk.conditions, plan=chunk.plan
        )
        count = len(chunk.conditions)
        mine = chunk.split.branches_of(group, count) if works else ()
        return _Member(
            predictor=predictor,
            branches=tuple(chunk.conditions),
            places=mine,
            reports=place == 0 and self.rank != _LEADER,
        )

    def _circle(self, ranks: range) -> Circle:
        group: Any = distributed.new_group(list(ranks), timeout=_PATIENCE)
        rank = self.rank - ranks.start if self.rank in ranks else -1
        return Circle(group=group, rank=rank, size=len(ranks))

    def _order(self, order: Any) -> None:
        distributed.broadcast_object_list([order], src=_LEADER, group=self._orders)

    def _listen(self) -> Any:
        order = [None]
        distributed.broadcast_object_list(order, src=_LEADER, group=self._orders)
        return order[0]


class TeamPredictor:
    """Predicts every branch of a step with the whole team."""

    def __init__(self, team: Team, member: _Member, split: Split) -> None:
        self._team = team
        self._member = member
        self.split = split

    def __call__(self, step: int, latent: Tensor) -> dict[Branch, Tensor]:
        """Return the velocity [1, 16, T, h, w] of each branch at this step."""
        self._team.order_step(step, latent)
        own = self._member.step(step, latent.contiguous())
        velocity: dict[Branch, Tensor] = {}
        for place, branch in enumerate(self._member.branches):
            if place in own:
                velocity[branch] = own[place]
                continue
            velocity[branch] = torch.empty_like(latent)
            leader = place % self.split.groups * self.split.size
            distributed.recv(velocity[branch], src=leader)
        return velocity


@frozen(kw_only=True, eq=False)
class _Member:
    """One process's part of a chunk: the branches at these places."""

    predictor: Predictor
    branches: tuple[Branch, ...]
    places: tuple[int, ...]
    reports: bool

    def step(self, step: int, latent: Tensor) -> dict[int, Tensor]:
        """Receive the latent, predict, and send the velocities to the leader where it must."""
        distributed.broadcast(latent, src=_LEADER)
        velocity = {place: self.predictor.predict(step, place, latent) for place in self.places}
        if self.reports:
            for place in self.places:
                distributed.send(velocity[place].contiguous(), dst=_LEADER)
        return velocity


@frozen(kw_only=True)
class _Step:
    """The order to predict one step of the present chunk."""

    step: int
    shape: tuple[int, ...]


@frozen(kw_only=True, eq=False)
class _Chunk:
    """The order to prepare for a chunk."""

    split: Split
    time: TimeSignal
    conditions: dict[Branch, Conditions]
    plan: SkipPlan | None

    def on_host(self) -> _Chunk:
        """Return a copy that can travel; rotation tables are made again at the other end."""
        return self._moved(torch.device("cpu"), rotation=None)

    def on_device(self, dit: DiT) -> _Chunk:
        """Return a copy that the transformer can use."""
        weight = dit.patch_embedding.weight
        grid = grid_of(next(iter(self.conditions.values())).picture)
        return self._moved(weight.device, rotation=dit.rotation(grid, weight.device))

    def _moved(self, device: torch.device, *, rotation: Any) -> _Chunk:
        time = evolve(
            self.time,
            embedding=self.time.embedding.to(device),
            modulation=self.time.modulation.to(device),
        )
        conditions = {
            branch: evolve(
                each,
                text=each.text.to(device),
                clip=each.clip.to(device),
                speech=each.speech.to(device),
                picture=each.picture.to(device),
                regions=None if each.regions is None else each.regions.to(device),
                rotation=rotation,
            )
            for branch, each in self.conditions.items()
        }
        return evolve(self, time=time, conditions=conditions)
