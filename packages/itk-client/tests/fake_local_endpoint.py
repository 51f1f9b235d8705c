"""Stands in for the local endpoint as a process: announces itself, serves, ends as told.

    python fake_local_endpoint.py MODE [--port P --volume DIR --workers N]

MODE: good, slow (never finishes a job), dies (while it works), silent (never listens), broken.
"""

import os
import sys
import threading
import time

from itk_client.testing import FakeEndpoint, progress_look, served
from itk_schema import to_json

mode = sys.argv[1]
sys.stderr.write(f"this is the log of a {mode} endpoint\n")
sys.stderr.flush()
if mode == "broken":
    sys.exit(3)
if mode == "silent":
    time.sleep(600)
endpoint = FakeEndpoint()
if mode in {"slow", "dies"}:
    endpoint.script = [progress_look("chunk_0_sampling_25", pct=30, seq=1)]
endpoint.takes_uploads = True
with served(endpoint) as base_url:
    said = {"event": "listening", "url": f"{base_url}/local", "files_url": endpoint.files_url}
    print("some other line")  # noqa: T201
    print(to_json(said), flush=True)  # noqa: T201
    if mode == "dies":
        while not endpoint.jobs:
            time.sleep(0.01)
        time.sleep(0.3)
        os._exit(9)
    threading.Event().wait()
