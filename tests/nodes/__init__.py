"""Several server processes behind a real nginx, over PgBouncer, Sentinels and a cluster: `make nodes`."""
