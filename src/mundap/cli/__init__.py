"""The `mundap` command: one file a command."""
