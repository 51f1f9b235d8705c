"""The arithmetic that a block is made of, as small pure functions."""
