"""From a question to a cited answer; no HTTP, writes nothing."""
