"""The command line: `itk`."""

from .main import main

__all__ = ["main"]
