"""The shelf: collections of documents, read, cut into passages and kept current."""
