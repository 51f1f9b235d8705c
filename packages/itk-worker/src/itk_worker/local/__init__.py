"""A Runpod endpoint on this machine: its client API, its worker protocol, real workers."""

from .endpoint import EndpointOptions, Listening, serve
from .jobs import Patience

__all__ = ["EndpointOptions", "Listening", "Patience", "serve"]
