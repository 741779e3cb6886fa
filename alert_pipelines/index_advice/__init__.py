"""Which conditions read too many documents, and the index that would help."""
