"""Rows of the admin as CSV: the columns that its list shows, one line a row, streamed."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import label_for_field, lookup_field
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

AT_ONCE = 500
# A spreadsheet would take such a cell for a formula.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def cell(value: Any) -> str:
    """A value as text that no spreadsheet runs; times in UTC, what a label shows in its own word."""
    if isinstance(value, tuple):
        value = value[-1]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULAS) and not is_number(text) else text


def is_number(text: str) -> bool:
    """Whether it is a plain number, which may begin with a sign."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def lines(admin: "ModelAdmin[Any]", columns: list[str], rows: Iterable[Any]) -> Iterator[str]:
    """The heading and each row, as CSV."""
    writer = csv.writer(Echo())
    yield writer.writerow([label_for_field(name, admin.model, admin) for name in columns])
    for row in rows:
        yield writer.writerow([cell(lookup_field(name, row, admin)[2]) for name in columns])


def as_csv(admin: "ModelAdmin[Any]", columns: list[str], queryset: QuerySet[Any]) -> StreamingHttpResponse:
    """The chosen rows as a file to save."""
    name = f"{admin.opts.model_name}.csv"
    rows = queryset.iterator(chunk_size=AT_ONCE)
    response = StreamingHttpResponse(lines(admin, columns, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
