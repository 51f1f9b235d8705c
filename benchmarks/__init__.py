"""Measures the engine on random weights of the published sizes."""
