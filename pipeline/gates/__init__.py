"""Checks whose answers open or close the way. Each returns a verdict with reasons; none passes on missing data."""
