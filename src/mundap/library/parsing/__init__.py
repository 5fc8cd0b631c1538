"""From a page's bytes to a `Page`: one file a format. A module here with SUFFIXES and parse() is a format."""
