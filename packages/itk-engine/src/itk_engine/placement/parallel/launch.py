"""Starts the processes of a team, one for each further device."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, frozen
from torch import multiprocessing

from .team import Team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from itk_engine.model import DiT

_GOODBYE_SECONDS = 30.0


@contextmanager
def start_team(
    dit: DiT, load: Callable[..., DiT], *arguments: Any, devices: Sequence[str]
) -> Iterator[Team]:
    """Start a follower on every device but the first, and lead them with `dit` on the first.

    `load(device, *arguments)` is called in each follower and must give the same transformer;
    it and its arguments travel by pickle. On leaving, the followers are sent home.
    """
    with tempfile.TemporaryDirectory(prefix="itk-team-") as folder:
        leader = _Place(
            rank=0,
            devices=tuple(devices),
            meeting=f"file://{Path(folder) / 'meeting'}",
            backend="nccl" if torch.device(devices[0]).type == "cuda" else "gloo",
        )
        followers = [
            multiprocessing.get_context("spawn").Process(
                target=_follow, args=(evolve(leader, rank=rank), load, arguments), daemon=True
            )
            for rank in range(1, len(devices))
        ]
        for follower in followers:
            follower.start()
        _choose(devices[0])
        team = leader.join(dit)
        try:
            yield team
        finally:
            team.dismiss()
            for follower in followers:
                follower.join(_GOODBYE_SECONDS)
                if follower.is_alive():
                    follower.terminate()


@frozen(kw_only=True)
class _Place:
    """Where a process stands in its team."""

    rank: int
    devices: tuple[str, ...]
    meeting: str
    backend: str

    def join(self, dit: DiT) -> Team:
        """Meet the others."""
        return Team(
            dit,
            rank=self.rank,
            size=len(self.devices),
            meeting=self.meeting,
            backend=self.backend,
        )


def _follow(place: _Place, load: Callable[..., DiT], arguments: tuple[Any, ...]) -> None:
    device = place.devices[place.rank]
    _choose(device)
    team = place.join(load(device, *arguments))
    try:
        team.follow()
    finally:
        team.dismiss()


def _choose(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.set_device(device)
