"""Several server processes behind a real nginx, workers elsewhere, PgBouncer between: `make nodes`."""
