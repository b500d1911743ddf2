"""Ships a release: from a commit, over evidence, to the hosts that serve it. It does not know what the model recognises."""
