"""Says where the small checkpoint that comes with the project lies."""

from pathlib import Path

__all__ = ["checkpoint_folder"]


def checkpoint_folder() -> Path:
    """The folder that holds the checkpoint, in the published layout.

    Inside are `Wan2.1-I2V-14B-480P` (for CKPT_DIR), `InfiniteTalk` (INFINITETALK_DIR) and
    `chinese-wav2vec2-base` (WAV2VEC_DIR), named as the published downloads are.
    """
    return Path(__file__).parent / "checkpoint"
