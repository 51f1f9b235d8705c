"""The checkpoint is whole, small, and read by the very code that reads the real one."""

from pathlib import Path

import pytest

import itk_tiny

FOLDER = itk_tiny.checkpoint_folder()


def test_the_checkpoint_is_small_enough_to_come_with_a_package():
    """All its files together have at most 20 MB."""
    total = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert 10e6 < total <= 20e6


def test_files_are_named_as_the_published_ones():
    """Whoever knows the published downloads finds everything where it is there."""
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    base = "Wan2.1-I2V-14B-480P"
    assert files == {
        "InfiniteTalk/single/infinitetalk.safetensors",
        *(f"{base}/diffusion_pytorch_model-{n:05}-of-00007.safetensors" for n in range(1, 8)),
        f"{base}/Wan2.1_VAE.pth",
        f"{base}/config.json",
        f"{base}/google/umt5-xxl/tokenizer.json",
        f"{base}/google/umt5-xxl/tokenizer_config.json",
        f"{base}/models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
        f"{base}/models_t5_umt5-xxl-enc-bf16.pth",
        "chinese-wav2vec2-base/config.json",
        "chinese-wav2vec2-base/model.safetensors",
        "chinese-wav2vec2-base/preprocessor_config.json",
    }


@pytest.fixture(scope="module")
def engine():
    """The real engine on this checkpoint, read strictly."""
    from itk_engine import CheckpointFiles, Engine, EngineConfig

    files = CheckpointFiles(
        base=FOLDER / "Wan2.1-I2V-14B-480P",
        adapter=FOLDER / "InfiniteTalk" / "single" / "infinitetalk.safetensors",
        wav2vec=FOLDER / "chinese-wav2vec2-base",
    )
    engine = Engine.load(files, EngineConfig(device="cpu"))
    yield engine
    engine.close()


def test_a_drawn_face_begins_as_its_portrait_and_does_not_become_noise(engine):
    """A few frames of the packaged portrait stay close to it: the weights fit the engine."""
    import numpy as np
    from PIL import Image

    from itk_engine import GenerationRequest, StillPicture
    from itk_media import Waveform
    from itk_schema import Parameters

    samples = Path(__file__).parents[2] / "itk-client" / "src" / "itk_client" / "samples"
    picture = np.asarray(Image.open(samples / "portrait.png").convert("RGB"))
    request = GenerationRequest(
        prompt="a person looks",
        picture=StillPicture(pixels=picture),
        speeches=(Waveform(samples=np.zeros(8000, np.float32)),),
        parameters=Parameters(
            frame_num=13, sample_steps=2, sample_text_guide_scale=1, sample_audio_guide_scale=1
        ),
        seed=1,
    )
    frames = np.concatenate([chunk.frames for chunk in engine.generate(request)])
    small = np.asarray(Image.fromarray(picture).resize(frames.shape[2:0:-1]), np.float32)
    distance = np.abs(frames.astype(np.float32) - small).mean(axis=(1, 2, 3))
    assert distance[0] < 6
    assert distance.max() < 12
