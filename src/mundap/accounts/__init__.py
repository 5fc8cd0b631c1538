"""People, their sessions and their API tokens."""
