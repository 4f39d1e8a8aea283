"""Emptying the database after a test that commits."""

from functools import lru_cache
from typing import Any

from django.db import connection, transaction

# What the migrations' own signal makes once.
KEPT = {"django_content_type", "auth_permission"}


def empty(case: Any) -> None:
    """Empty the tables that hold rows. Django truncates all hundred each time, which costs more than most tests do."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables()))  # noqa: S608
        filled = {name for (name,) in cursor.fetchall()}
        if forever := sorted(filled & refusing()):
            cursor.execute(f"TRUNCATE {', '.join(forever)} CASCADE")
        # Foreign keys are looked at with the commit, so that the order is none.
        for name in sorted(filled - refusing()):
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608


@lru_cache(maxsize=1)
def tables() -> list[str]:
    """The tables of the models."""
    return sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT)


@lru_cache(maxsize=1)
def refusing() -> frozenset[str]:
    """Those whose rows are for ever: a trigger refuses to delete them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgtype::int & 8 > 0"
        )
        return frozenset(name for (name,) in cursor.fetchall())
