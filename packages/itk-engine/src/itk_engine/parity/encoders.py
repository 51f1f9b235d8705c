"""Cases of the models around the transformer: autoencoder, text, picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from itk_engine.conditioning import (
    TextEncoder,
    TextEncoderConfig,
    VisionConfig,
    VisionEncoder,
)
from itk_engine.vae import VAE, VAEConfig

from .bench import load_strictly
from .verdict import Check, close

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import Tensor

    from .bench import Bench
    from .folder import Case


def autoencoder(case: Case, bench: Bench) -> list[Check]:
    """Encode videos of several lengths and decode latents of several lengths."""
    io = case.tensors()
    vae = vae_of(case["config"], case.tensors("weights"), io, bench=bench)
    checks = []
    for name, record in io.items():
        way, _, variant = name.partition("out.")[2].partition(".")
        if way == "latent":
            came = vae.encode(io[f"in.video.{variant}"].to(bench.device))
            checks.append(close(name, came, record, tolerance=bench.part))
        elif way == "video":
            came = vae.decode(io[f"in.latent.{variant}"].to(bench.device))
            checks.append(close(name, came, record, tolerance=bench.part))
    return checks


def vae_of(
    sizes: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    io: Mapping[str, Tensor] | None = None,
    *,
    bench: Bench,
) -> VAE:
    """Return the autoencoder of a case; its statistics are the case's where it has them."""
    statistics: dict[str, tuple[float, ...]] = {}
    if io is not None and "const.mean" in io:
        statistics = {
            "latent_mean": tuple(io["const.mean"].tolist()),
            "latent_std": tuple(io["const.std"].tolist()),
        }
    config = VAEConfig(
        base_width=sizes["dim"],
        multipliers=tuple(sizes["dim_mult"]),
        blocks_per_stage=sizes["num_res_blocks"],
        time_downsample=tuple(sizes["temperal_downsample"]),
        z_channels=sizes["z_dim"],
        **statistics,
    )
    vae = VAE(config)
    load_strictly(vae, weights)
    return vae.to(bench.device, bench.dtype)


def text_encoder(case: Case, bench: Bench) -> list[Check]:
    """Encode each row of token ids by itself, as far as its mask goes."""
    io, sizes = case.tensors(), case["config"]
    model = TextEncoder(
        TextEncoderConfig(
            vocab_size=sizes["vocab_size"],
            dim=sizes["dim"],
            dim_attn=sizes["dim_attn"],
            dim_ffn=sizes["dim_ffn"],
            num_heads=sizes["num_heads"],
            num_layers=sizes["encoder_layers"],
            num_buckets=sizes["num_buckets"],
        )
    )
    load_strictly(model, case.tensors("weights"))
    model.to(bench.device, bench.dtype)
    checks = []
    rows = zip(io["in.ids"], io["in.mask"], io["out.states"], strict=True)
    for row, (ids, mask, record) in enumerate(rows):
        length = int(mask.sum())
        came = model(ids[None, :length].to(bench.device))[0]
        checks.append(close(f"out.states[{row}]", came, record[:length], tolerance=bench.part))
    return checks


def vision_encoder(case: Case, bench: Bench) -> list[Check]:
    """See pictures of several shapes."""
    io, sizes = case.tensors(), case["config"]
    model = VisionEncoder(
        VisionConfig(
            image_size=sizes["image_size"],
            patch_size=sizes["patch_size"],
            dim=sizes["dim"],
            mlp_ratio=sizes["mlp_ratio"],
            out_dim=sizes["out_dim"],
            num_heads=sizes["num_heads"],
            num_layers=sizes["num_layers"],
        )
    )
    weights = case.tensors("weights").items()
    load_strictly(model, {name.removeprefix("visual."): value for name, value in weights})
    model.to(bench.device, bench.dtype)
    checks = []
    for name, record in io.items():
        if name.startswith("mid.normalised."):
            picture = io[f"in.image.{name.removeprefix('mid.normalised.')}"][:, :, 0]
            came = model.prepare(picture.to(bench.device))
            checks.append(close(name, came, record, tolerance=bench.part, inner=True))
    for name, record in io.items():
        if name.startswith("out.features."):
            frame = io[f"in.image.{name.removeprefix('out.features.')}"].to(bench.device)
            checks.append(close(name, model.encode(frame), record, tolerance=bench.part))
    return checks
