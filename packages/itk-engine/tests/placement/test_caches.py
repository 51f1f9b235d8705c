"""Compiled kernels outlive the process."""

from pathlib import Path

import pytest

from itk_engine.placement import keep_kernels

triton = pytest.importorskip("triton", reason="Triton is not built for this platform")


def test_kernels_are_kept_in_the_folder_that_was_named(tmp_path: Path) -> None:
    """The folder is made and Triton looks there from now on."""
    before = triton.knobs.cache.dir
    try:
        keep_kernels(tmp_path / "kernels")
        assert triton.knobs.cache.dir == str(tmp_path / "kernels")
        assert (tmp_path / "kernels").is_dir()
    finally:
        triton.knobs.cache.dir = before
