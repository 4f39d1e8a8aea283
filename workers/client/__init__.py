"""The Python client and the `mesh` command line."""
