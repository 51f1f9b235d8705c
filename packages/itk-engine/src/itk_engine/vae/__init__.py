"""The causal video autoencoder: pixels in, latents out, and back."""

from .autoencoder import VAE
from .config import VAEConfig

__all__ = ["VAE", "VAEConfig"]
