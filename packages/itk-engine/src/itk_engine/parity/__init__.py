"""Runs a folder of golden cases through the engine and says how far apart they are."""

from .folder import Case, read_cases
from .runner import run_case
from .verdict import Check, Verdict, count, summary

__all__ = ["Case", "Check", "Verdict", "count", "read_cases", "run_case", "summary"]
