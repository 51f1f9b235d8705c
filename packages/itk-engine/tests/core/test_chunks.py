"""How a speech is cut into chunks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itk_engine.chunks import ChunkPlan, latent_frames, plan_chunks, speech_rows, video_frames


@st.composite
def plans(draw: st.DrawFn) -> ChunkPlan:
    """Draw any legal chunk length and overlap."""
    frame_num = 1 + 4 * draw(st.integers(1, 30))
    return ChunkPlan(frame_num=frame_num, motion_frame=draw(st.integers(1, frame_num - 1)))


@given(frames=st.integers(1, 3000), plan=plans())
def test_every_frame_is_kept_exactly_once(frames: int, plan: ChunkPlan) -> None:
    """The kept frames of all chunks, one after the other, are the video."""
    kept = [
        frame
        for chunk in plan_chunks(frames, plan)
        for frame in range(chunk.start + chunk.overlap, chunk.start + chunk.overlap + chunk.kept)
    ]
    assert kept == list(range(frames))


@given(frames=st.integers(1, 3000), plan=plans())
def test_chunks_overlap_by_the_motion_frames(frames: int, plan: ChunkPlan) -> None:
    """Each chunk begins where the one before it has its last motion frames."""
    chunks = plan_chunks(frames, plan)
    for before, after in pairwise(chunks):
        assert after.start == before.stop - plan.motion_frame
        assert after.overlap == plan.motion_frame
        assert not before.last
    assert chunks[-1].last
    assert all(chunk.kept >= 1 for chunk in chunks)


@given(frames=st.integers(1, 500), plan=plans(), cuts=st.sets(st.integers(1, 600)))
def test_a_scene_begins_afresh_at_each_cut(frames: int, plan: ChunkPlan, cuts: set[int]) -> None:
    """Every frame is still kept once, and a chunk without overlap starts at every cut."""
    chunks = plan_chunks(frames, plan, cuts=sorted(cuts))
    begun = [chunk.start for chunk in chunks if not chunk.overlap]
    assert begun == [0, *sorted(cut for cut in cuts if cut < frames)]
    kept = [
        frame
        for chunk in chunks
        for frame in range(chunk.start + chunk.overlap, chunk.start + chunk.overlap + chunk.kept)
    ]
    assert kept == list(range(frames))


@given(frames=st.integers(1, 500), plan=plans())
def test_no_chunk_is_made_for_nothing(frames: int, plan: ChunkPlan) -> None:
    """One chunk fewer would not reach the end of the video."""
    chunks = plan_chunks(frames, plan)
    assert chunks[-1].stop >= frames
    assert len(chunks) == 1 or chunks[-2].stop < frames


@pytest.mark.parametrize(
    ("frames", "starts"), [(81, [0]), (82, [0, 72]), (153, [0, 72]), (154, [0, 72, 144])]
)
def test_the_published_chunking_of_81_and_9(frames: int, starts: list[int]) -> None:
    """A new chunk begins every 72 frames, as soon as one more frame is needed."""
    chunks = plan_chunks(frames, ChunkPlan(frame_num=81, motion_frame=9))
    assert [chunk.start for chunk in chunks] == starts
    assert chunks[0].latent_frames == 21
    assert [chunk.motion_latents for chunk in chunks] == [1] + [3] * (len(starts) - 1)


@pytest.mark.parametrize(
    ("speech", "streaming", "limit", "frames"),
    [
        (200, True, None, 200),
        (200, True, 30, 30),
        (200, False, None, 81),
        (50, False, None, 50),
        (50, True, 100, 50),
    ],
)
def test_the_video_is_as_long_as_the_speech(
    speech: int, *, streaming: bool, limit: int | None, frames: int
) -> None:
    """The speech decides; a limit and clip mode only shorten."""
    plan = ChunkPlan(frame_num=81, motion_frame=9)
    assert video_frames(speech, plan=plan, streaming=streaming, max_frames=limit) == frames


@given(length=st.integers(1, 400), frames=st.integers(1, 400), plan=plans())
def test_rows_of_speech_are_real_and_centred(length: int, frames: int, plan: ChunkPlan) -> None:
    """Within the speech a frame hears its own row in the middle; every row exists."""
    for chunk in plan_chunks(frames, plan):
        rows = speech_rows(chunk, length)
        assert len(rows) == chunk.frames
        for frame, heard in enumerate(rows, chunk.start):
            assert len(heard) == 5
            assert all(0 <= row < length for row in heard)
            if frame < length:
                assert heard[2] == frame


def test_past_its_end_the_speech_is_heard_backwards() -> None:
    """The last row is repeated once and then the rows before it; unmirrored it stands still."""
    chunk = plan_chunks(5, ChunkPlan(frame_num=5, motion_frame=1))[0]
    assert [heard[2] for heard in speech_rows(chunk, 3)] == [0, 1, 2, 2, 1]
    assert [heard[2] for heard in speech_rows(chunk, 3, mirror=False)] == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(("frame_num", "motion_frame"), [(80, 9), (1, 1), (81, 81), (81, 0)])
def test_a_cut_that_cannot_be_made_is_refused(frame_num: int, motion_frame: int) -> None:
    """frame_num must be 4n+1 and motion_frame between 1 and frame_num - 1."""
    with pytest.raises(ValueError, match=r"frame_num|motion_frame"):
        ChunkPlan(frame_num=frame_num, motion_frame=motion_frame)


def test_a_rest_of_a_latent_frame_is_cut() -> None:
    """Ten motion frames pin as many latent frames as nine."""
    assert latent_frames(10) == latent_frames(9) == 3
