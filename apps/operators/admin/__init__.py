"""The operators' part of the admin."""

from django.contrib import admin

from apps.operators import second_factor
from apps.operators.admin import review, rows

__all__ = ["review", "rows"]

second_factor.guard(admin.site)
