"""Fetches pages from web servers: a good citizen towards them, and safe against what they answer."""
