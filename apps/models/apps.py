"""The catalogue of models and their content-addressed artifacts."""

from django.apps import AppConfig


class ModelsConfig(AppConfig):
    name = "apps.models"
    label = "catalog"
    verbose_name = "Model catalogue"
