"""Runs the command line as `python -m itk_client.cli`."""

import sys

from .main import main

sys.exit(main())
