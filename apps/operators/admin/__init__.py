"""The operators' part of the admin."""

from django.contrib import admin

from apps.operators import second_factor
from apps.operators.admin import conduct, identity, review, rows

__all__ = ["conduct", "identity", "review", "rows"]

second_factor.guard(admin.site)
