"""Cuts a long speech into overlapping chunks, pure and without tensors."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import field, frozen
from attrs.validators import ge

FRAMES_PER_SECOND = 25
LATENT_STRIDE = 4  # video frames in one latent frame, after the first
_WINDOW = 5  # speech frames around one video frame


@frozen(kw_only=True)
class Chunk:
    """One stretch of the video that is sampled at once.

    It covers the video's frames `start` to `start + frames`; the first `overlap` of them are
    given by the chunk before, so `new_frames` are its own, of which the video keeps `kept`.
    Without overlap a scene begins.
    """

    index: int
    start: int
    frames: int
    overlap: int
    kept: int
    last: bool

    @property
    def stop(self) -> int:
        """Return the first frame after this chunk."""
        return self.start + self.frames

    @property
    def new_frames(self) -> int:
        """Return how many frames no earlier chunk has."""
        return self.frames - self.overlap

    @property
    def latent_frames(self) -> int:
        """Return how many latent frames the chunk has."""
        return latent_frames(self.frames)

    @property
    def motion_latents(self) -> int:
        """Return how many latent frames are pinned: the picture, or the overlap's whole ones."""
        return latent_frames(self.overlap) if self.overlap else 1


@frozen(kw_only=True)
class ChunkPlan:
    """How a video is cut: `frame_num` frames a chunk, `motion_frame` of them overlapping."""

    frame_num: int = field(default=81)
    motion_frame: int = field(default=9, validator=ge(1))

    @frame_num.validator
    def _check_frame_num(self, _: object, value: int) -> None:
        if value < 1 + LATENT_STRIDE or value % LATENT_STRIDE != 1:
            message = f"frame_num must be 4n+1 and at least 5, got {value}"
            raise ValueError(message)

    def __attrs_post_init__(self) -> None:
        if self.motion_frame >= self.frame_num:
            message = (
                f"motion_frame must be less than frame_num {self.frame_num}, "
                f"got {self.motion_frame}"
            )
            raise ValueError(message)


def latent_frames(frames: int) -> int:
    """Return how many latent frames hold this many video frames; a rest of a group is cut."""
    return 1 + (frames - 1) // LATENT_STRIDE


def video_frames(
    speech_frames: int, *, plan: ChunkPlan, streaming: bool, max_frames: int | None = None
) -> int:
    """Return the length of the video: the speech's, one chunk's at most unless streaming."""
    limits = [speech_frames]
    if max_frames is not None:
        limits.append(max_frames)
    if not streaming:
        limits.append(plan.frame_num)
    return min(limits)


def plan_chunks(frames: int, plan: ChunkPlan, *, cuts: Sequence[int] = ()) -> tuple[Chunk, ...]:
    """Return the chunks of a video of so many frames; their `kept` frames are the video.

    Chunk k of a scene covers its frames k·(F - m) to k·(F - m) + F. The last one may reach past
    the scene's end: its surplus is made and not kept. `cuts` are the frames at which another
    scene begins; a scene's first chunk overlaps with nothing.
    """
    assert frames >= 1
    edges = [0, *(cut for cut in cuts if 0 < cut < frames), frames]
    pieces = [
        (start + offset, overlap, kept)
        for start, stop in pairwise(edges)
        for offset, overlap, kept in _scene_pieces(stop - start, plan)
    ]
    return tuple(
        Chunk(
            index=index,
            start=start,
            frames=plan.frame_num,
            overlap=overlap,
            kept=kept,
            last=index == len(pieces) - 1,
        )
        for index, (start, overlap, kept) in enumerate(pieces)
    )


def _scene_pieces(frames: int, plan: ChunkPlan) -> Iterator[tuple[int, int, int]]:
    """Yield where each chunk of one scene starts, how far it overlaps, how much it keeps."""
    stride = plan.frame_num - plan.motion_frame
    count = 1 + max(0, -(-(frames - plan.frame_num) // stride))
    for index in range(count):
        start = index * stride
        overlap = plan.motion_frame if index else 0
        yield start, overlap, min(start + plan.frame_num, frames) - (start + overlap)


def speech_rows(chunk: Chunk, length: int, *, mirror: bool = True) -> list[list[int]]:
    """Return, for each frame of a chunk, the five rows of the speech features it hears.

    Two before, its own, two after. Past the end the speech is heard backwards (and forwards
    again, for as long as it takes), with `mirror` off the last row stands still.
    """
    reach = _WINDOW // 2
    rows = range(chunk.start - reach, chunk.stop + reach)
    place = _mirrored if mirror else _clamped
    heard = [place(max(row, 0), length) for row in rows]
    return [heard[frame : frame + _WINDOW] for frame in range(chunk.frames)]


def _mirrored(row: int, length: int) -> int:
    turn = row % (2 * length)
    return turn if turn < length else 2 * length - 1 - turn


def _clamped(row: int, length: int) -> int:
    return min(row, length - 1)
