"""Pages that show evidence: plain files without scripts, to open, mail and archive."""
