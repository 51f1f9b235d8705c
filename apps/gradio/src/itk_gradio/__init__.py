"""The browser page of InfiniteTalk: a form, its job, and the video."""

from .app import build_page, serve
from .settings import PageSettings

__all__ = ["PageSettings", "build_page", "serve"]
