"""The node agent: everything that runs on an operator's host. Imports no Django."""
