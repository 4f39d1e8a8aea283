"""The site itself, as Django sees it: its static files and management commands."""

from django.apps import AppConfig


class MeshworkConfig(AppConfig):
    name = "meshwork"
    label = "meshwork"
