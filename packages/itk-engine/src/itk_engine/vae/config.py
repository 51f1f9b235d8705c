"""Sizes of the video autoencoder."""

from attrs import field, frozen, validators

# Per-channel statistics of the latents that Wan 2.1 was trained on; the transformer sees
# (latent - mean) / std.
WAN_LATENT_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
WAN_LATENT_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)


@frozen(kw_only=True)
class VAEConfig:
    """Sizes of the Wan 2.1 autoencoder; the defaults are the published ones.

    `multipliers` times `base_width` are the channels of each resolution, finest first.
    `time_downsample[i]` says whether the step from resolution i to i + 1 halves time too.
    """

    base_width: int = field(default=96, validator=validators.ge(1))
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks_per_stage: int = 2
    time_downsample: tuple[bool, ...] = (False, True, True)
    z_channels: int = 16
    latent_mean: tuple[float, ...] = WAN_LATENT_MEAN
    latent_std: tuple[float, ...] = WAN_LATENT_STD

    def __attrs_post_init__(self) -> None:
        if len(self.time_downsample) != len(self.multipliers) - 1:
            message = (
                f"time_downsample needs one entry fewer than multipliers "
                f"({len(self.multipliers) - 1}), got {len(self.time_downsample)}"
            )
            raise ValueError(message)
        for name in ("latent_mean", "latent_std"):
            if len(getattr(self, name)) != self.z_channels:
                message = f"{name} needs {self.z_channels} numbers, got {len(getattr(self, name))}"
                raise ValueError(message)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each resolution, finest first."""
        return tuple(self.base_width * multiplier for multiplier in self.multipliers)

    @property
    def time_stride(self) -> int:
        """Frames that one latent stands for, the first latent excepted."""
        return 2 ** sum(self.time_downsample)

    @property
    def space_stride(self) -> int:
        """Pixels along each side that one latent stands for."""
        return 2 ** (len(self.multipliers) - 1)
