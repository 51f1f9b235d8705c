"""Starts the processes of a team, one for each further device."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, frozen
from torch import multiprocessing

from itk_engine.errors import LostFollowerError

from .team import Team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from itk_engine.model import DiT

    _Work = tuple[Callable[..., DiT], tuple[Any, ...]]

_GOODBYE_SECONDS = 30.0


@contextmanager
def start_team(
    dit: DiT, load: Callable[..., DiT], *arguments: Any, devices: Sequence[str]
) -> Iterator[Team]:
    """Start a follower on every device but the first, and lead them with `dit` on the first.

    `load(device, *arguments)` is called in each follower and must give the same transformer;
    it and its arguments travel by pickle. On leaving, the followers are sent home.

    Raises:
        LostFollowerError: a follower ended before it was ready.
    """
    with tempfile.TemporaryDirectory(prefix="itk-team-") as folder:
        leader = _Place(
            rank=0,
            devices=tuple(devices),
            meeting=f"file://{Path(folder) / 'meeting'}",
            backend="nccl" if torch.device(devices[0]).type == "cuda" else "gloo",
        )
        followers = [
            _Follower.start(evolve(leader, rank=rank), (load, arguments))
            for rank in range(1, len(devices))
        ]
        try:
            for follower in followers:
                follower.wait_until_ready()
            _choose(devices[0])
            team = leader.join(dit)
        except BaseException:
            for follower in followers:
                follower.process.terminate()
                follower.process.join(_GOODBYE_SECONDS)
            raise
        try:
            yield team
        finally:
            team.dismiss()
            for follower in followers:
                follower.process.join(_GOODBYE_SECONDS)
                if follower.process.is_alive():
                    follower.process.terminate()


@frozen(kw_only=True)
class _Follower:
    """A further process, and the line on which it says that it has read its weights."""

    process: Any  # of multiprocessing's spawn context
    device: str
    line: Connection

    @classmethod
    def start(cls, place: _Place, work: _Work) -> _Follower:
        """Start the process that belongs to a place."""
        context = multiprocessing.get_context("spawn")
        line, its_end = context.Pipe(duplex=False)
        process = context.Process(target=_follow, args=(place, work, its_end), daemon=True)
        process.start()
        its_end.close()  # else a process that died would leave the line open
        return cls(process=process, device=place.devices[place.rank], line=line)

    def wait_until_ready(self) -> None:
        """Wait, as long as the process lives, until it has read its weights."""
        try:
            problem = self.line.recv()
        except EOFError:
            self.process.join(_GOODBYE_SECONDS)
            problem = f"its process ended with status {self.process.exitcode}"
        finally:
            self.line.close()
        if problem is not None:
            raise LostFollowerError(self.device, problem)


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


def _follow(place: _Place, work: _Work, line: Connection) -> None:
    device = place.devices[place.rank]
    try:
        _choose(device)
        load, arguments = work
        dit = load(device, *arguments)
    except Exception as error:
        line.send(f"{type(error).__name__}: {error}")
        raise
    line.send(None)
    line.close()
    team = place.join(dit)
    try:
        team.follow()
    finally:
        team.dismiss()


def _choose(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.set_device(device)
