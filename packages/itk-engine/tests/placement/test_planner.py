"""The planner keeps real sizes within real budgets."""

import pytest
import torch

from itk_engine.model import DiT, DiTConfig
from itk_engine.placement import (
    GIB,
    Demand,
    Picture,
    Pinned,
    PlanError,
    Wishes,
    model_parameters,
    plan_placement,
    resident_blocks_for,
)
from itk_engine.placement.sizes import block_parameters, outer_parameters

SHAPE = DiTConfig()  # the published 14B model
SQUARE_480 = Picture(height=640, width=640)
SQUARE_720 = Picture(height=960, width=960)
GB_CARDS = {80: 79 * GIB, 48: 44 * GIB, 32: 31 * GIB, 24: 23 * GIB}  # what a card leaves to us


@pytest.fixture(scope="module")
def published() -> DiT:
    """The published model without its memory."""
    with torch.device("meta"):
        return DiT(SHAPE)


def test_the_arithmetic_counts_every_parameter(published: DiT) -> None:
    """Block, outside and total equal those of the model that the configuration builds."""
    total = sum(p.numel() for p in published.parameters())
    block = sum(p.numel() for p in published.blocks[0].parameters())
    assert model_parameters(SHAPE) == total == 18_882_046_784
    assert block_parameters(SHAPE) == block
    assert outer_parameters(SHAPE) == total - 40 * block


def test_the_picture_says_how_many_tokens_it_has() -> None:
    """Tokens are 16 x 16 pixel patches of every fourth frame, the first one included."""
    assert SQUARE_480.tokens == 33_600
    assert SQUARE_720.tokens == 75_600


@pytest.mark.parametrize(
    ("picture", "card"),
    [(SQUARE_480, card) for card in (80, 48, 32, 24)] + [(SQUARE_720, card) for card in (80, 48)],
    ids=lambda value: f"{value.height}" if isinstance(value, Picture) else f"{value}GB",
)
@pytest.mark.parametrize("speakers", [1, 2])
def test_exact_weights_fit_every_card(picture: Picture, card: int, speakers: int) -> None:
    """Without fp8 the plan stays within the card, keeping as many blocks as it can."""
    budget = GB_CARDS[card]
    plan = plan_placement(
        SHAPE,
        Demand(picture=picture, speakers=speakers, branches=3),
        budget_bytes=budget,
    )
    assert plan.precision == "bfloat16"
    assert plan.peak_bytes <= budget
    if card == 80:
        assert plan.resident_blocks == 40
    else:
        assert plan.peak_bytes > 0.9 * budget - 2 * GIB


@pytest.mark.parametrize(
    ("picture", "budget", "blocks", "text", "sampling", "autoencoder"),
    [
        (SQUARE_480, 78, 40, 47.97, 51.19, 54.67),
        (SQUARE_480, 48, 40, 40.11, 40.60, 44.09),
        (SQUARE_480, 32, 20, 24.45, 24.94, 28.43),
        (SQUARE_480, 24, 13, 18.39, 18.88, 22.38),
        (SQUARE_720, 78, 40, 40.02, 44.55, 52.42),
        (SQUARE_720, 48, 27, 30.52, 35.03, 42.91),
    ],
)
def test_no_phase_took_more_than_is_planned(
    picture: Picture, budget: int, blocks: int, text: float, sampling: float, autoencoder: float
) -> None:
    """Peaks that an H100 measured under a cap, in GiB (benchmarks/results, 2026-11-25).

    `blocks` stayed on the device then; those that a plan keeps no longer are taken off. The image
    encoder was on the device in all of them.
    """
    plan = plan_placement(SHAPE, Demand(picture=picture), budget_bytes=budget * GIB)
    assert plan.image_encoder == "device"
    gone = (blocks - plan.resident_blocks) * 2 * block_parameters(SHAPE)
    assert text * GIB - gone < plan.text_peak_bytes
    assert sampling * GIB - gone < plan.sampling_peak_bytes
    assert autoencoder * GIB - gone < plan.vae_peak_bytes


def test_the_image_encoder_leaves_only_where_nothing_else_helps() -> None:
    """What fits without it still fits; where streaming is enough, it stays."""
    demand = Demand(picture=SQUARE_720)
    stays = plan_placement(SHAPE, demand, budget_bytes=23 * GIB)
    leaves = plan_placement(SHAPE, demand, budget_bytes=22 * GIB)
    assert (stays.image_encoder, stays.resident_blocks) == ("device", 0)
    assert (leaves.image_encoder, leaves.resident_blocks) == ("host", 0)


def test_pinned_memory_holds_copies_of_what_stays_too() -> None:
    """Once one block is streamed all are pinned; the host's budget is not held against copies."""
    demand, block = Demand(picture=SQUARE_480), 2 * block_parameters(SHAPE)
    whole = plan_placement(SHAPE, demand, budget_bytes=GB_CARDS[80])
    before = plan_placement(
        SHAPE, demand, budget_bytes=GB_CARDS[80], pinned=Pinned(blocks=True, text=True)
    )
    small = plan_placement(SHAPE, demand, budget_bytes=GB_CARDS[32])
    assert (whole.host_bytes, whole.pinned_bytes) == (0, 0)
    assert 0 < small.resident_blocks < 40
    assert small.pinned_bytes == before.pinned_bytes > 40 * block
    assert small.host_bytes < small.pinned_bytes
    assert small == plan_placement(
        SHAPE, demand, budget_bytes=GB_CARDS[32], host_budget_bytes=small.host_bytes
    )


def test_fp8_is_taken_only_where_it_may_be_and_helps() -> None:
    """When needed, fp8 makes the model fit whole; a large card keeps the exact weights."""
    demand = Demand(picture=SQUARE_480)
    wishes = Wishes(fp8="when_needed")
    small = plan_placement(SHAPE, demand, budget_bytes=GB_CARDS[32], wishes=wishes)
    large = plan_placement(SHAPE, demand, budget_bytes=GB_CARDS[80], wishes=wishes)
    never = plan_placement(SHAPE, demand, budget_bytes=GB_CARDS[32])
    assert (small.precision, small.streamed_blocks) == ("fp8", 0)
    assert (large.precision, large.streamed_blocks) == ("bfloat16", 0)
    assert never.precision == "bfloat16"
    assert never.streamed_blocks > 0


def test_what_is_forced_is_what_happens() -> None:
    """Numbers of persistent parameters and offloading override the planner's choice."""
    demand = Demand(picture=SQUARE_480)
    forced = plan_placement(
        SHAPE, demand, budget_bytes=GB_CARDS[80], wishes=Wishes(persistent_parameters=0)
    )
    assert forced.resident_blocks == 0
    assert forced.streamed_bytes_per_forward == 2 * 40 * block_parameters(SHAPE)
    offloaded = plan_placement(
        SHAPE, demand, budget_bytes=GB_CARDS[80], wishes=Wishes(offload_model=True)
    )
    assert offloaded.release_between_uses
    assert (offloaded.text_encoder, offloaded.image_encoder) == ("host", "host")
    assert offloaded.host_bytes > 2 * 40 * block_parameters(SHAPE)


def test_persistent_parameters_are_counted_in_order_of_definition() -> None:
    """Embeddings come before the blocks, so a small number leaves every block to streaming."""
    block = block_parameters(SHAPE)
    assert resident_blocks_for(SHAPE, 0) == 0
    assert resident_blocks_for(SHAPE, 5 * block) == 4
    assert resident_blocks_for(SHAPE, 10**12) == 40


def test_no_plan_is_an_error_that_names_the_numbers() -> None:
    """A budget below the activations cannot be met by moving weights."""
    with pytest.raises(PlanError, match=r"needs .* GiB on the device and 6\.0 GiB may be used"):
        plan_placement(SHAPE, Demand(picture=SQUARE_720), budget_bytes=6 * GIB)
    with pytest.raises(PlanError, match=r"would have to come from host memory"):
        plan_placement(
            SHAPE,
            Demand(picture=SQUARE_480),
            budget_bytes=GB_CARDS[24],
            host_budget_bytes=8 * GIB,
        )


def test_a_plan_reads_as_a_sentence() -> None:
    """The text says what stays, what is streamed and what each phase takes."""
    plan = plan_placement(SHAPE, Demand(picture=SQUARE_480), budget_bytes=GB_CARDS[24])
    text = str(plan)
    assert f"{plan.resident_blocks} of 40 blocks stay on the device" in text
    assert "of 23.0 GiB" in text
    assert "text encoder on the host, image encoder on the device" in text
    assert f"where {plan.pinned_bytes / GIB:.1f} GiB are pinned" in text
    assert plan.seconds_streamed_per_forward(gigabytes_per_second=25) > 0


def test_step_skipping_and_full_precision_are_budgeted() -> None:
    """Kept residuals and float32 weights raise the sampling peak."""
    budget = 200 * GIB
    plain = plan_placement(SHAPE, Demand(picture=SQUARE_480, branches=3), budget_bytes=budget)
    cached = plan_placement(
        SHAPE,
        Demand(picture=SQUARE_480, branches=3, keeps_residuals=True),
        budget_bytes=budget,
    )
    full = plan_placement(
        SHAPE, Demand(picture=SQUARE_480, precision="float32"), budget_bytes=budget
    )
    assert cached.sampling_peak_bytes - plain.sampling_peak_bytes > 3 * 33_600 * 5120 * 2
    assert full.sampling_peak_bytes > 1.9 * plain.sampling_peak_bytes
