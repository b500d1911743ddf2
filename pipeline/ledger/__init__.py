"""The append-only history: the only source of what is live and why."""
