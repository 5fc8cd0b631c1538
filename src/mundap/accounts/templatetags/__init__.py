"""Tags for the templates of accounts."""
