"""Runs on this machine: what a run is, how it is walked, and what it leaves. Jenkins keeps its own; `pipeline.jenkins` asks it."""
