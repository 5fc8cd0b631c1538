"""Mundap: answers from documentation, with the passage behind each statement."""
