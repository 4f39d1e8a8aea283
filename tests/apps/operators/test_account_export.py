"""The export: everything of the person, nothing of others, no secrets, in few queries and small pieces."""

import json
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import events
from apps.core.models import User
from apps.operators import account_export, enrolment
from apps.operators.authentication import make_key
from apps.operators.models import Operator, Scope
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow


def exported(user: User) -> dict[str, Any]:
    text = b"".join(account_export.pieces(user, utcnow()))
    document: dict[str, Any] = json.loads(text)
    return document


def test_an_operator_finds_everything(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    make_key(operator.user, "laptop", [Scope.JOBS_READ], utcnow())
    found = exported(operator.user)
    assert found["profile"]["email"] == "olga@example.org"
    assert [row["id"] for row in found["nodes"]] == [node.pk]
    assert [row["status"] for row in found["stakes"]] == ["locked"]
    assert [row["name"] for row in found["api_keys"]] == ["laptop"]
    assert [row["tier"] for row in found["applications"]] == ["ORACLE"]
    assert {row["kind"] for row in found["transfers"]} >= {"stake.lock"}
    assert {row["kind"] for row in found["messages"]} >= {"application_received", "application_approved"}
    assert any(row["subject"] == node.pk for row in found["events"])
    assert found["jobs"] == []


def test_nothing_of_others_and_no_secret_is_in_it(operator: Operator, other: Operator) -> None:
    enrolment.enrol(prepared(other, "theirs"), utcnow())
    row, text = make_key(operator.user, "laptop", [Scope.JOBS_READ], utcnow())
    factor = TOTP.activate(operator.user, generate_totp_secret()).instance
    written = b"".join(account_export.pieces(operator.user, utcnow())).decode()
    for foreign in ("otto@example.org", "theirs", row.hash, text, factor.data["secret"], operator.user.password):
        assert foreign not in written
    assert '"type": "totp"' in written


def test_every_model_that_names_a_person_is_exported_or_known(db: None) -> None:
    """A model that gets a user later has to find its place here."""
    known = {
        *{
            "EmailAddress",
            "Authenticator",
            "UserSession",
            "ApiKey",
            "Wallet",
            "Application",
            "Operator",
            "Notification",
        },
        *{"Event", "Job", "Ban", "Appeal", "SlashAppeal", "EthereumAddress", "ShardHost"},
        # What staff did as staff, and the admin's own log of it, belongs to the network.
        *{"LogEntry", "ParameterChange", "StateChange", "AuditRun"},
    }
    named = {
        relation.related_model.__name__
        for relation in User._meta.get_fields(include_hidden=True)
        if relation.auto_created and not relation.concrete and relation.related_model is not None
    }
    named = {name for name in named if not name.startswith("User_")}
    assert named - known == set()


@pytest.mark.parametrize("count", [3, 1200])
def test_many_rows_come_in_pages_and_each_once(applicant: User, count: int) -> None:
    now = utcnow()
    for number in range(count):
        events.emit("job.submitted", subject=f"job_{number}", now=now, actor=applicant)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = exported(applicant)
    assert len({row["id"] for row in found["events"]}) == len(found["events"]) == count
    assert len(queries) < 40
    sizes = [len(piece) for piece in account_export.pieces(applicant, now)]
    assert all(size < account_export.PIECE * 2 for size in sizes)
