"""Who may see and do what: every address of the site, asked by everybody, answers as the table here says."""

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from pytest_django.fixtures import Settings
from redis import Redis

from apps.core.models import Event, User
from tests.apps.operators.conftest import sign_in
from tests.site import permissions_admin, permissions_stage
from tests.site.permissions_stage import Stage

pytestmark = pytest.mark.django_db
Asked = tuple[str, frozenset[str]]

# "unproven" is staff in a session without the second factor, where the network asks for it: a person like others.
EVERYBODY = frozenset({"visitor", "requester", "operator", "other", "staff", "unproven"})
PEOPLE = EVERYBODY - {"visitor"}
OPERATORS = frozenset({"operator", "other"})
REQUESTER, OPERATOR, OTHER, STAFF = (frozenset({who}) for who in ("requester", "operator", "other", "staff"))
REQUESTER_AND_STAFF, OPERATOR_AND_STAFF = REQUESTER | STAFF, OPERATOR | STAFF
# Who is let in, by method: the names of addresses. What is asked of them is the requester's or the operator's.
ALLOWED: dict[Asked, str] = {
    ("get", EVERYBODY): """
        account_confirm_email account_email account_email_verification_sent account_inactive account_login
        account_logout account_request_login_code account_reset_password account_reset_password_done
        account_reset_password_from_key account_reset_password_from_key_done account_signup accounts/2fa/
        accounts/2fa/webauthn/ accounts/email/ accounts/sessions/ api_docs api_ledger api_ledger_account
        api_ledger_audit api_ledger_audit_export api_ledger_block api_ledger_blocks api_ledger_genesis
        api_ledger_proof api_ledger_transfer api_ledger_transfers api_model api_models api_node api_nodes artifact
        audit audit_csv audit_export audit_json audit_live audit_run audit_run_csv audit_run_json block blocks
        dev_mail favicon health install install_file landing ledger ledger_account ledger_account_live ledger_live
        ledger_search mfa_index mfa_list_webauthn model models openai_model openai_models overview overview_live
        schema search totals trading trading_candles trading_certificate trading_decision trading_decisions
        trading_evidence trading_evidence_file trading_live trading_orders trading_plan trading_round
        trading_round_live trading_rounds trading_rtt trading_scans trading_scans_live trading_signal trading_signals
        trading_target trading_target_live transfer transfer_proof transfers transfers_live usersessions_list
        well_known
    """,
    ("post", EVERYBODY): """
        api_ethereum_session api_ethereum_visitor api_host_challenge api_host_join api_login api_wallet_key
        api_wallet_session api_wallet_visitor
    """,
    ("get", PEOPLE): """
        account_change_password account_confirm_login_code account_data account_delete account_email_settings
        account_export_ready account_profile account_reauthenticate account_security account_sessions
        account_set_password api_application api_hosts api_jobs api_mandates api_me api_scans api_signals
        api_signals_accuracy api_stakes api_wallet_challenge api_wallet_nonce apply apply_live bans hosts job_new jobs
        jobs_live keys mandate_new mandates mfa_activate_totp mfa_add_webauthn mfa_authenticate mfa_deactivate_totp
        mfa_download_recovery_codes mfa_edit_webauthn mfa_generate_recovery_codes mfa_login_webauthn
        mfa_reauthenticate mfa_reauthenticate_webauthn mfa_remove_webauthn mfa_view_recovery_codes node_register nodes
        nodes_live rewards rewards_live send stages_live wallet wallet_confirm wallet_live wallet_welcome
    """,
    ("post", PEOPLE): """
        account_delete account_email_code account_email_settings account_export account_profile
        account_sessions_end_others api_application api_faucet_claim api_job_quote api_jobs
        api_mandates api_scans api_signals api_stakes api_transfers api_wallets apply
        faucet_claim job_new job_quote keys mandate_new mandate_signed node_register openai_embeddings send
        send_signed stake_add stake_leave wallet
    """,
    ("post", REQUESTER): """
        account_session_end api_mandate_revoke key_revoke mandate_revoke
    """,
    ("get", OPERATOR): """
        node_ethereum node_register_waiting slash
    """,
    ("post", OPERATOR): """
        api_host_leave api_node_binding_challenge api_stake_cancel host_leave node_ethereum slash_appeal stake_keep
        wallet_remove
    """,
    ("post", OTHER): """
        ban_appeal
    """,
    ("post", OPERATORS): """
        stake
    """,
    ("get", REQUESTER_AND_STAFF): """
        api_job api_job_receipt api_job_result api_job_tasks job_detail job_live job_receipt job_result
    """,
    ("delete", OPERATOR): """
        api_node_binding
    """,
    ("put", OPERATOR): """
        api_node_binding
    """,
    ("post", REQUESTER_AND_STAFF): """
        api_job_cancel job_cancel
    """,
    ("get", OPERATOR_AND_STAFF): """
        node_detail node_idle node_live node_reputation
    """,
    ("post", OPERATOR_AND_STAFF): """
        node_action node_limits
    """,
    ("post", STAFF): """
        api_ledger_audit run_audit trading_flatten trading_pause trading_resume
    """,
}
# Forms that answer a refusal with a message on the next page: whether something changed says who was let in.
TOLD_LATER = {"account_session_end", "ban_appeal", "host_leave", "mandate_revoke", "stake_keep"}
FORMS = {"ban_appeal": {"text": "It was not me."}, "slash_appeal": {"text": "It was not me.", "sure": "on"}}
QUERIES = {"trading_candles": "?pair=BTC-USD"}
REFUSED = {401, 403}


def addresses(resolver: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pattern and name of every address; the admin's have `admin:` before."""
    for entry in resolver.url_patterns:
        here = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, here)
        elif here.startswith("admin/"):
            yield f"admin:{permissions_admin.name_of(entry, here)}", here
        else:
            yield entry.name or here, here


def path_of(pattern: str, values: dict[str, Any]) -> str:
    """The address with the stage's values in it."""
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", pattern)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda m: str(values[m[1]]), plain.replace("^", "").rstrip("$"))


def entered(who: str, user: User | None) -> Client:
    """A client in which this person is signed in, staff with a second factor unless they are unproven."""
    client = Client()
    if user is not None:
        sign_in(client, user)
    if who == "staff" and user is not None:
        session = client.session
        session["account_authentication_methods"] += [{"method": "mfa", "type": "totp", "at": time.time()}]
        session.save()
    return client


def asked(name: str, method: str, path: str, seat: Client) -> tuple[int, bool]:
    """The status, and whether whoever sits there was let in; nothing of it stays."""
    client = Client(raise_request_exception=False)
    client.cookies.update(seat.cookies)
    before = traces() if name in TOLD_LATER else None
    point = transaction.savepoint()
    answer = getattr(client, method)(path + QUERIES.get(name, ""), FORMS.get(name))
    changed = name in TOLD_LATER and traces() != before
    transaction.savepoint_rollback(point)
    login = answer.headers.get("Location", "").startswith(("/accounts/login", "/admin/login"))
    if name in TOLD_LATER:
        return answer.status_code, changed
    return answer.status_code, not login and answer.status_code not in REFUSED


def traces() -> tuple[int, int]:
    """What an act leaves: events, or a session less."""
    return Event.objects.count(), UserSession.objects.filter(session_key=permissions_stage.SEAT).count()


def test_every_address_is_in_the_table() -> None:
    known = {name for names in ALLOWED.values() for name in names.split()}
    known |= {f"admin:{name}" for name in permissions_admin.names()}
    assert {name for name, _ in addresses(get_resolver())} ^ known == set()


@pytest.fixture
def stage(platform_redis: Redis, nodes_broker: Redis, settings: Settings) -> Stage:
    """Everybody and everything, on a network that asks staff for a second factor."""
    made = permissions_stage.set_up()
    settings.STAFF_NEED_SECOND_FACTOR = True
    return made


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.long)])
def test_everybody_is_let_in_where_the_table_says_and_nowhere_else(stage: Stage, thorough: bool) -> None:
    """Where time is short, staff without a second factor are asked for only where it makes a difference."""
    patterns = dict(addresses(get_resolver()))
    seats = {who: entered(who, user) for who, user in stage.actors.items()}
    wrong = {}
    for (method, allowed), names in ALLOWED.items():
        shared = allowed in (EVERYBODY, PEOPLE)
        for name in names.split():
            path = path_of(patterns[name], stage.values)
            for who, seat in seats.items():
                if who == "unproven" and not thorough and ("staff" in allowed) == ("unproven" in allowed):
                    continue
                status, inside = asked(name, method, path, seat)
                # What belongs to somebody is not there for others.
                inside = inside and (shared or status != 404)
                if inside != (who in allowed) or status >= 500:
                    wrong[f"{who}: {method} {path}"] = status
    assert wrong == {}


def strangers(lines: Iterable[permissions_admin.Line], stage: Stage) -> dict[str, int]:
    """Whoever is let into the admin against the table, or kept out."""
    patterns = dict(addresses(get_resolver()))
    seats = {who: entered(who, user) for who, user in stage.actors.items()}
    staff = stage.actors["staff"]
    assert staff is not None
    wrong = {}
    for name, method, open_to_staff in lines:
        path = path_of(patterns[f"admin:{name}"], permissions_admin.values_of(name, staff.pk))
        for who, seat in seats.items():
            status, inside = asked(name, method, path, seat)
            if inside != (open_to_staff and who == "staff") or status >= 500:
                wrong[f"{who}: {method} {path}"] = status
    return wrong


def test_only_staff_with_a_second_factor_are_let_into_the_admin(stage: Stage) -> None:
    assert strangers(permissions_admin.table(), stage) == {}


@pytest.mark.long
def test_only_they_see_what_lies_behind_the_admins_lists(stage: Stage) -> None:
    assert strangers(permissions_admin.rows(), stage) == {}
