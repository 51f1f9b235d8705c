"""Several processes predict what one predicts."""

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import torch

from itk_engine import Engine, EngineConfig, GenerationRequest
from itk_engine.errors import LostFollowerError
from itk_engine.model import Conditions, DiT, DiTConfig
from itk_engine.placement.parallel import plan_split, shares, start_team
from itk_engine.sampling import Branch, Predictor, TeaCache, plan_skips
from itk_engine.tiny import make_checkpoint

CONFIG = DiTConfig(
    dim=48,
    ffn_dim=80,
    freq_dim=32,
    num_heads=4,
    num_layers=2,
    text_len=16,
    text_dim=24,
    intermediate_dim=16,
    output_dim=24,
    context_tokens=4,
    audio_blocks=3,
    audio_channels=8,
    clip_dim=20,
)
FRAMES, ROWS, COLUMNS = 3, 6, 10  # 45 tokens: an odd number, shares begin within a frame


def make(device: str) -> DiT:
    """Make the same transformer in every process."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    return DiT(CONFIG).to(device).eval().requires_grad_(requires_grad=False)


@torch.inference_mode()
def conditions_of(dit: DiT, *, speakers: int) -> dict[Branch, Conditions]:
    """Make two branches, one of them silent and with one speaker's path."""
    masks = torch.zeros(1, 3, ROWS, COLUMNS)
    masks[:, 0, :, :4], masks[:, 1, :, 6:], masks[:, 2, :, 4:6] = 1, 1, 1
    speech = torch.randn(1, speakers, 4 * FRAMES - 3, 5, 3, 8)
    shared = {
        "text": torch.randn(1, 9, CONFIG.text_dim),
        "clip": torch.randn(1, 257, CONFIG.clip_dim),
        "picture": torch.randn(1, 20, FRAMES, ROWS, COLUMNS),
    }
    return {
        Branch.COND: dit.condition(**shared, speech=speech, masks=masks if speakers > 1 else None),
        Branch.DROP_AUDIO: dit.condition(**shared, speech=torch.zeros_like(speech[:, -1:])),
    }


def compare(processes: int) -> None:
    """Predict steps of chunks with one and with two speakers, alone and together."""
    alone, leading = make("cpu"), make("cpu")
    with start_team(leading, make, devices=["cpu"] * processes) as team, torch.inference_mode():
        team.link_bytes_per_second = 1e18  # else nobody would share so small a model's tokens
        for speakers, branches in ((1, 2), (2, 2), (1, 1), (2, 1)):
            conditions = conditions_of(alone, speakers=speakers)
            if branches == 1:
                del conditions[Branch.DROP_AUDIO]
            time = alone.embed_time(torch.linspace(1000, 100, 8))
            skips = TeaCache(threshold=0.3, size="infinitetalk-480")
            plan = plan_skips(skips, time, branches=branches) if speakers == 1 else None
            one = Predictor(alone, time=time, conditions=conditions, plan=plan)
            together = team.predictor(leading, time=time, conditions=conditions, plan=plan)
            if branches == 1:
                assert together.split.size == processes  # tokens and heads are shared
            for step in range(8) if plan else range(1):
                latent = torch.randn(1, 16, FRAMES, ROWS, COLUMNS)
                needed, came = one(step, latent), together(step, latent.clone())
                assert came.keys() == needed.keys()
                for branch in needed:
                    torch.testing.assert_close(came[branch], needed[branch], rtol=1e-4, atol=1e-5)


def test_two_processes_predict_what_one_does() -> None:
    """Tokens that do not divide, two speakers and skipped steps included."""
    compare(2)


def fail(_device: str) -> DiT:
    """Fail as a follower does that finds no memory."""
    message = "no room for the weights"
    raise RuntimeError(message)


def vanish(_device: str) -> DiT:
    """End as a follower does that the system kills."""
    os._exit(9)


@pytest.mark.parametrize(
    ("load", "said"),
    [(fail, "RuntimeError: no room for the weights"), (vanish, "its process ended with status 9")],
)
def test_a_follower_that_does_not_start_is_an_error_at_once(
    load: Callable[[str], DiT], said: str
) -> None:
    """The leader hears why, and does not wait as long as for a meeting."""
    begin = monotonic()
    with (
        pytest.raises(LostFollowerError, match=f"process on cpu .* {said}"),
        start_team(make("cpu"), load, devices=["cpu", "cpu"]),
    ):
        pass
    assert monotonic() - begin < 120


@pytest.mark.long
def test_more_processes_than_branches_share_tokens_and_heads_unevenly() -> None:
    """Three processes hold 45 tokens and 4 heads in shares of 15, and 2, 1 and 1."""
    compare(3)


@pytest.mark.parametrize(
    ("devices", "branches", "groups", "size"),
    [(1, 3, 1, 1), (2, 2, 2, 1), (2, 1, 1, 2), (3, 3, 3, 1), (4, 2, 2, 2), (8, 2, 2, 4)],
)
def test_branches_are_shared_out_before_tokens(
    devices: int, branches: int, groups: int, size: int
) -> None:
    """Branches need no exchange, so where they divide they go first."""
    split = plan_split(DiTConfig(), tokens=33_600, branches=branches, devices=devices)
    assert (split.groups, split.size) == (groups, size)
    assert 0 <= split.idle < 0.15


def test_tokens_are_shared_where_branches_would_leave_devices_idle() -> None:
    """Three branches on two or eight devices: sharing tokens keeps all of them busy."""
    for devices in (2, 8):
        split = plan_split(DiTConfig(), tokens=33_600, branches=3, devices=devices)
        assert split.size == devices
        assert split.idle < 0.15


def test_a_slow_link_prefers_branches() -> None:
    """Where exchanging is dear, a device works on a branch of its own."""
    split = plan_split(DiTConfig(), tokens=33_600, branches=3, devices=4, link_bytes_per_second=2e9)
    assert (split.groups, split.size) == (3, 1)


def test_shares_differ_by_one_at_most() -> None:
    """The larger shares come first and nothing is lost."""
    assert shares(45, 2) == (23, 22)
    assert shares(4, 3) == (2, 1, 1)
    assert sum(shares(33_601, 7)) == 33_601


@pytest.mark.long
def test_an_engine_of_two_processes_makes_the_same_video(
    tmp_path: Path, request_of: Callable[..., GenerationRequest]
) -> None:
    """Everything but the transformer's work stays with the leader; a stop in between is safe."""
    files = make_checkpoint(tmp_path)
    request = request_of(speakers=2, audio_type="para")
    with Engine.load(files, EngineConfig(device="cpu")) as engine:
        needed = np.concatenate([chunk.frames for chunk in engine.generate(request)])
    with Engine.load(files, EngineConfig(device="cpu", processes=2)) as engine:
        stopped = engine.generate(request)
        next(stopped)
        stopped.close()
        came = np.concatenate([chunk.frames for chunk in engine.generate(request)])
    assert np.abs(came.astype(int) - needed).max() <= 1  # rounding may differ by one of 255
