"""The client's environment is small: no model, no numbers, no platform SDK."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "numpy", "runpod", "boto3", "transformers", "av", "gradio", "itk-worker"}

BLOCKED = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "numpy", "runpod", "boto3", "itk_worker", "av"}:
            raise ImportError(f"{name} must not be needed")
        return None

sys.meta_path.insert(0, Refuse())
import itk_client, itk_client.cli, itk_client.testing
import itk_client.cli.commands, itk_client.cli.demo, itk_client.cli.endpoint_process
assert itk_client.cli.main(["generate", "--help"]) == 0
endpoint = itk_client.testing.FakeEndpoint()
with itk_client.testing.served(endpoint) as url, itk_client.Client(base_url=url) as client:
    client.generate({"prompt": "x", "cond_video": "https://e.com/a.png",
                     "cond_audio": {"person1": "https://e.com/a.wav"}})
"""


def test_nothing_heavy_is_imported():
    """The client works where torch, numpy, runpod, boto3 and the worker cannot be imported."""
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_heavy_is_installed():
    """By the lock file, installing itk-client brings none of the heavy packages."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    needs = {
        package["name"]: {one["name"] for one in package.get("dependencies", ())}
        for package in lock["package"]
    }
    found, waiting = set(), {"itk-client"}
    while waiting:
        found |= waiting
        waiting = {name for one in waiting for name in needs.get(one, ())} - found
    assert {"itk-schema", "httpx2", "cyclopts"} <= found
    assert found & HEAVY == set()
