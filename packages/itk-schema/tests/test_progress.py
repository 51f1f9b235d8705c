"""Stages have their names and percentages, chunk by chunk and item by item."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import itk_schema
from itk_schema import STAGE_PERCENTAGES, AtStage, ChunkStage, Stage


def test_the_percentages_are_the_designs() -> None:
    """The recommended sequence, from 0 to 100, never falling."""
    assert list(STAGE_PERCENTAGES) == list(Stage)
    assert list(STAGE_PERCENTAGES.values()) == [0, 2, 3, 8, 9, 15, 15, 18, 20, 85, 90, 92, 98, 100]


def test_chunks_have_the_names_of_the_wire() -> None:
    """Chunks count from 0 and sampling says its own percentage."""
    assert itk_schema.chunk_stage("preprocess", chunk=0) == "chunk_0_preprocess"
    assert itk_schema.chunk_stage("sampling", chunk=2, step=3, steps=8) == "chunk_2_sampling_37"
    assert itk_schema.chunk_stage("decode", chunk=11) == "chunk_11_decode"
    found = itk_schema.read_chunk_stage("chunk_2_sampling_37")
    assert found == ChunkStage(part="sampling", chunk=2, pct=37)
    assert found.at_stage is AtStage.GENERATION_SAMPLING
    for other in ("completed", "chunk_x_decode", "chunk_1_sampling_", "chunk_1_sampling_1\n"):
        assert itk_schema.read_chunk_stage(other) is None


@settings(max_examples=50, deadline=None, database=None)
@given(st.integers(1, 40), st.integers(1, 50))
def test_a_generation_climbs_from_20_to_85(chunks: int, steps: int) -> None:
    """Over all chunks and steps the percentage never falls and never leaves its range."""
    climbed = [20.0]
    for chunk in range(chunks):
        climbed.append(itk_schema.chunk_percentage("preprocess", chunk=chunk, chunks=chunks))
        climbed += [
            itk_schema.chunk_percentage(
                "sampling", chunk=chunk, chunks=chunks, step=step, steps=steps
            )
            for step in range(steps + 1)
        ]
        climbed.append(itk_schema.chunk_percentage("decode", chunk=chunk, chunks=chunks))
    assert climbed == sorted(climbed)
    assert climbed[-1] <= 85.0
    assert itk_schema.chunk_percentage("preprocess", chunk=chunks, chunks=chunks) == 85.0


def test_a_stages_name_is_enough_for_its_percentage() -> None:
    """The percentage follows from the name and the number of chunks."""
    assert itk_schema.stage_percentage(Stage.MUXING_STARTED) == 85.0
    assert itk_schema.stage_percentage("chunk_1_preprocess", chunks=2) == 52.5
    assert itk_schema.stage_percentage("chunk_0_sampling_100") == itk_schema.stage_percentage(
        "chunk_0_decode"
    )
    with pytest.raises(ValueError, match="dancing"):
        itk_schema.stage_percentage("dancing")


def test_a_batch_shares_the_percentage_among_its_items() -> None:
    """Half of the second of four items is 37.5 percent of the batch."""
    assert itk_schema.batch_percentage(50.0, item_index=1, items=4) == 37.5
    assert itk_schema.batch_percentage(100.0, item_index=3, items=4) == 100.0


@pytest.mark.parametrize(
    ("stage", "place"),
    [
        (Stage.VALIDATION_STARTED, AtStage.VALIDATION),
        (Stage.DOWNLOADS_OK, AtStage.DOWNLOADS),
        (Stage.EMBEDDINGS_STARTED, AtStage.EMBEDDINGS),
        (Stage.PIPELINE_WARM_OK, AtStage.PIPELINE_WARM),
        (Stage.GENERATION_STARTED, AtStage.GENERATION_PREPROCESS),
        ("chunk_3_decode", AtStage.GENERATION_DECODE),
        (Stage.MUXING_STARTED, AtStage.MUXING),
        (Stage.UPLOAD_OK, AtStage.UPLOAD),
        (Stage.COMPLETED, AtStage.UPLOAD),
    ],
)
def test_every_stage_belongs_somewhere(stage: str, place: AtStage) -> None:
    """An error at any stage has an `at_stage`."""
    assert itk_schema.at_stage(stage) is place
