"""A fast, weight-compatible InfiniteTalk engine."""
