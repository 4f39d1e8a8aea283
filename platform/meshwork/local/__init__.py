"""Meshwork on one machine: embedded PostgreSQL and Valkeys, the platform's processes, and their supervisor.

Nothing here imports Django: this package makes the environment that the settings read.
"""
