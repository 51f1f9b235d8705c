"""Runs the worker: `python -m itk_worker`."""

from .main import run

if __name__ == "__main__":
    run()
