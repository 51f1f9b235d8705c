"""Serves the page: `python -m itk_gradio`."""

import sys

from itk_client import ConfigError

from .app import serve

try:
    serve()
except ConfigError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(3)
