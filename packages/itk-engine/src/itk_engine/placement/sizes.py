"""Counts the bytes that a transformer of a given shape needs, without building it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

if TYPE_CHECKING:
    from itk_engine.model import DiTConfig

Precision = Literal["float32", "bfloat16", "fp8"]
BYTES_PER_VALUE: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "fp8": 1}
GIB = 1024**3

# Measured on an H200 at 640 x 640 and 960 x 960, float8 and bfloat16 alike: what a forward takes
# beside the weights, in rows of model width for every token.
LIVE_ROWS = 10.5

# The autoencoder works on pieces of this many bytes of its widest activation, or on one latent
# frame where that is more. A test counts what its layers hold at once, at their worst moment:
# about four such activations (in float32 with two convolutions beside each other), the last two
# frames of every convolution's input, so many values for each pixel, and the video twice while
# its pieces are joined. The rest of the activations below is for the libraries' workspaces, half
# an activation in bfloat16 on an H200, and for what the allocator cannot use of what it holds.
VAE_PIECE_BYTES = 512 * 1024**2
VAE_LIVE_ACTIVATIONS = {2: 5.2, 4: 5.0}  # by bytes per value
VAE_BASE_WIDTH = 96
VAE_REMEMBERED_VALUES = 2 * (7 * 96 + 6 * 192 // 4 + 8 * 384 // 16 + 11 * 384 // 64)
FRAMES_PER_LATENT = 4


@frozen(kw_only=True)
class Picture:
    """How much one denoising run works on.

    `height` and `width` are pixels of the output, `frames` are those of one chunk (4n+1).
    """

    height: int
    width: int
    frames: int = 81

    @property
    def tokens(self) -> int:
        """Tokens of one forward: latent frames times 16 x 16 pixel patches."""
        latent_frames = (self.frames - 1) // 4 + 1
        return latent_frames * (self.height // 16) * (self.width // 16)


def block_parameters(shape: DiTConfig) -> int:
    """Parameters of one transformer block."""
    biases = 15 * shape.dim + shape.ffn_dim  # twelve square linears, the feed-forward, speech k, v
    norms = 9 * shape.dim  # q and k of both attentions and the image's k, norm3 and norm_x
    modulation = 6 * shape.dim
    return block_linear_parameters(shape) + biases + norms + modulation


def block_linear_parameters(shape: DiTConfig) -> int:
    """Weights of one block's linear layers, biases left out."""
    d, f = shape.dim, shape.ffn_dim
    self_attention, text_and_image, speech = 4 * d * d, 6 * d * d, 2 * d * d
    return self_attention + text_and_image + speech + 2 * d * f + 2 * d * shape.output_dim


def outer_parameters(shape: DiTConfig) -> int:
    """Parameters outside the blocks: embeddings, projections of the conditions, head."""
    d = shape.dim
    patch = shape.in_dim * 4 * d + d
    text = _linear(shape.text_dim, d) + _linear(d, d)
    time = _linear(shape.freq_dim, d) + _linear(d, d) + _linear(d, 6 * d)
    head = 2 * d + _linear(d, 4 * shape.out_dim)
    clip = shape.clip_dim
    image = 2 * clip + _linear(clip, clip) + _linear(clip, d) + 2 * d
    return patch + text + time + head + image + _speech_projection(shape)


def model_parameters(shape: DiTConfig) -> int:
    """Parameters of the whole transformer."""
    return shape.num_layers * block_parameters(shape) + outer_parameters(shape)


def block_bytes(shape: DiTConfig, precision: Precision) -> int:
    """Bytes of one block's weights; at fp8 the linear weights take one byte and a row scale.

    Biases, norms, modulation and the small projection of speech tokens stay bfloat16 at fp8.
    """
    if precision != "fp8":
        return block_parameters(shape) * BYTES_PER_VALUE[precision]
    kept = 2 * shape.dim * shape.output_dim
    quantised = block_linear_parameters(shape) - kept
    row_scales = 4 * (12 * shape.dim + shape.ffn_dim + shape.dim)
    return quantised + row_scales + 2 * (block_parameters(shape) - quantised)


def outer_bytes(shape: DiTConfig, precision: Precision) -> int:
    """Bytes of what lies outside the blocks, which is never quantised."""
    return outer_parameters(shape) * max(2, BYTES_PER_VALUE[precision])


def activation_bytes(shape: DiTConfig, picture: Picture, precision: Precision) -> int:
    """Peak bytes of one forward beside the weights."""
    value = max(2, BYTES_PER_VALUE[precision])
    return int(picture.tokens * LIVE_ROWS * shape.dim * value)


def residual_cache_bytes(
    shape: DiTConfig, picture: Picture, *, branches: int, precision: Precision
) -> int:
    """Bytes that step skipping keeps: one residual of the token stream for each branch."""
    return branches * picture.tokens * shape.dim * max(2, BYTES_PER_VALUE[precision])


def vae_bytes(
    picture: Picture, *, bytes_per_value: int = 4, piece_bytes: int = VAE_PIECE_BYTES
) -> int:
    """Peak bytes of the autoencoder's encode or decode beside its weights."""
    pixels = picture.height * picture.width
    latent = pixels * FRAMES_PER_LATENT * VAE_BASE_WIDTH * bytes_per_value
    work = VAE_LIVE_ACTIVATIONS[bytes_per_value] * max(piece_bytes, latent)
    remembered = pixels * VAE_REMEMBERED_VALUES * bytes_per_value
    video = picture.frames * pixels * 3 * 4
    return int(work) + remembered + 2 * video


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _speech_projection(shape: DiTConfig) -> int:
    one_window = shape.audio_blocks * shape.audio_channels
    hidden = shape.intermediate_dim
    first = _linear(shape.audio_window * one_window, hidden)
    later = _linear((shape.audio_window + shape.vae_scale - 1) * one_window, hidden)
    tokens = _linear(hidden, shape.context_tokens * shape.output_dim)
    return first + later + _linear(hidden, hidden) + tokens + 2 * shape.output_dim
