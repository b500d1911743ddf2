"""The hosts of an environment: one protocol, one file per provider."""
