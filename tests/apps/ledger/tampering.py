"""Doing to the ledger's tables what only their owner can do."""

from uuid import UUID

from django.db import connection

from apps.ledger import audit
from tests.apps.ledger.cast import NOW

UNGUARD = """
do $$ declare t text; c record; begin
  for t in select tablename from pg_tables where tablename like 'ledger_%' loop
    execute format('alter table %I disable trigger user', t);
  end loop;
  for c in select conname, conrelid::regclass as t from pg_constraint
           where contype = 'f' and conrelid::regclass::text like 'ledger_%' loop
    execute format('alter table %s drop constraint %I', c.t, c.conname);
  end loop;
end $$
"""


def tamper(statement: str, *values: str | int | UUID) -> None:
    """Take triggers and foreign keys away first."""
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute(UNGUARD)
        cursor.execute(statement, values or None)


def broken() -> dict[str, list[str]]:
    """What the audit names, by rule."""
    return {check.name: check.found for check in audit.run(NOW).checks if not check.ok}
