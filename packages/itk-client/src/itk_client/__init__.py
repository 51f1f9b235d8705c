"""Python SDK and command line for InfiniteTalk endpoints."""
