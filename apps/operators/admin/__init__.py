"""The operators' part of the admin."""

from django.contrib import admin

from apps.operators import second_factor
from apps.operators.admin import conduct, review, rows

__all__ = ["conduct", "review", "rows"]

second_factor.guard(admin.site)
