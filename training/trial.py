"""Runs every stage for a moment at toy sizes, to find mistakes before a GPU is asked for.

python training/trial.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import encoded
import speech
import transformer
import vae


def main(folder: str) -> None:
    """Train each part for a few steps."""
    vae.FRAMES = encoded.FRAMES = 13
    vae.POOLS = (((64, 64), 1, 3, 13), ((64, 64), 1, 3, 13), ((48, 64), 2, 3, 9))
    vae.STEPS = ((0, 3, 1, 0.3, 0.1), (1, 2, 5, 0.3, 0.3), (0, 1, 9, 0.2, 0.3), (2, 2, 5, 0.2, 0.3))
    encoded.POOLS = (((64, 64), 1, 16, 0.6, 4), ((48, 64), 2, 16, 0.4, 4))
    for module, seconds in ((speech, 4), (vae, 14), (transformer, 25)):
        small = "0.05" if module is speech else "0.999"
        print("---", module.__name__, flush=True)
        for more in (["--seconds", str(seconds)], ["--seconds", "3", "--resume"]):
            sys.argv = [module.__name__, "--state", folder, "--small", small, *more]
            module.main()
    print("files", sorted(p.name for p in Path(folder).iterdir()))


if __name__ == "__main__":
    main(sys.argv[1])
