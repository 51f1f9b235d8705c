"""The real worker around a fake engine; started as a process by the tests."""

import sys

from worker_fakes import load_fake

from itk_worker.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], load=load_fake))
