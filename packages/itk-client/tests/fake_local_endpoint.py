"""Stands in for the local endpoint as a process: announces itself, serves, ends as told.

    python fake_local_endpoint.py MODE [--port P --volume DIR --workers N]

MODE: good, slow (never finishes a job), dies (while it works), silent (never listens), broken.
"""

import os
import sys
import threading
import time


def main(mode):
    """Behave in one of the modes."""
    sys.stderr.write(f"this is the log of a {mode} endpoint\n")
    sys.stderr.flush()
    if mode == "broken":
        sys.exit(3)
    if mode == "silent":
        time.sleep(600)
    serve(mode)


def serve(mode):
    """Serve a fake endpoint; its imports are late, so that the log above is there at once."""
    from itk_client.testing import FakeEndpoint, progress_look, served
    from itk_schema import to_json

    endpoint = FakeEndpoint()
    if mode in {"slow", "dies"}:
        endpoint.script = [progress_look("chunk_0_sampling_25", pct=30, seq=1)]
    endpoint.takes_uploads = True
    with served(endpoint) as base_url:
        said = {"event": "listening", "url": f"{base_url}/local", "files_url": endpoint.files_url}
        sys.stdout.write(f"some other line\n{to_json(said)}\n")
        sys.stdout.flush()
        if mode == "dies":
            while not endpoint.jobs:
                time.sleep(0.01)
            time.sleep(0.3)
            os._exit(9)
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
