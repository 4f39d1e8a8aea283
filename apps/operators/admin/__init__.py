"""The operators' part of the admin."""

from django.contrib import admin

from apps.operators import second_factor
from apps.operators.admin import conduct, identity, libraries, review, rows, slashes

__all__ = ["conduct", "identity", "libraries", "review", "rows", "slashes"]

second_factor.guard(admin.site)
