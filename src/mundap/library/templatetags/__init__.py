"""Tags for templates that any package may use."""
