"""Where users, sessions and runs are kept: one protocol, one file per kind of store."""
