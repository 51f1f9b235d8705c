"""The code that runs in the decoding process, and only there."""
