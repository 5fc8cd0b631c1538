"""In Korean."""
