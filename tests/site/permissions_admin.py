"""The admin's addresses: which lists there are, and what staff may do in each. Nobody else is let in anywhere."""

import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.urls import URLPattern

# Lists, rows and their histories: staff look at all of them.
LISTS = """
    account_emailaddress auth_group catalog_artifact catalog_model catalog_modelversion core_event core_faultevidence
    core_parameterchange core_storedmail core_user django_celery_beat_periodictask ledger_account ledger_auditrun
    ledger_block ledger_epoch ledger_epochshare ledger_genesis ledger_hold ledger_mandate ledger_slash ledger_transfer
    ledger_unbonding mfa_authenticator operators_apikey operators_appeal operators_application operators_ban
    operators_ethereumaddress operators_node operators_nodebinding operators_nodeevent operators_notification
    operators_operator operators_reputationchange operators_shardhost operators_slashappeal operators_slashcase
    operators_stake operators_wallet pool_attempt pool_job pool_refusal pool_requirementclass pool_task trading_candle
    trading_candlefault trading_decision trading_equitymark trading_fill trading_marketclock trading_order
    trading_outcome trading_plan trading_position trading_prediction trading_reconciliation trading_round
    trading_roundmessage trading_scan trading_scanrun trading_scantarget trading_signal trading_statechange
    trading_tradingstate trading_trainedmodel trading_venueaccount trading_venuefault trading_venuefill
    trading_venueorder usersessions_usersession
"""
# Where staff make rows by hand, and where they delete them.
MADE = {"auth_group", "core_user", "trading_scantarget"}
DELETED = {"auth_group", "core_user", "mfa_authenticator", "trading_scantarget"}
# What staff do to rows, and from lists.
ACTIONS = """
    ledger_account_grant ledger_auditrun_again_row ledger_auditrun_run operators_apikey_revoke_row
    operators_appeal_grant_row operators_appeal_refuse_row operators_application_approve_row
    operators_application_reject_row operators_ban_ban operators_ban_lift_row operators_node_reinstate_row
    operators_node_revoke_row operators_node_suspend_row operators_notification_again_row
    operators_operator_reinstate_row operators_operator_suspend_row operators_slashappeal_grant_row
    operators_slashappeal_refuse_row pool_job_cancel_row
"""
PAGES = """
    app_list auth_user_password_change catch_all index jsi18n password_change password_change_done search
    view_on_site
"""
# They send people to where they come in, or see to it that they are out.
DOORS = {"login", "logout"}
BEHIND = ("change", "history", "row")
# Name, method, and whether staff are let in.
Line = tuple[str, str, bool]
ROW = re.compile(r"admin/(\w+)/(\w+)/<path:object_id>/")


def name_of(entry: URLPattern, pattern: str) -> str:
    """The address's name, and one for those of Django's that have none."""
    if entry.name:
        return entry.name
    found = ROW.fullmatch(pattern)
    return f"{found[1]}_{found[2]}_row" if found else "catch_all"


def rows() -> Iterator[Line]:
    """What lies behind the lists."""
    for name in LISTS.split():
        yield from ((f"{name}_{view}", "get", True) for view in BEHIND)
        yield f"{name}_add", "get", name in MADE
        yield f"{name}_delete", "get", name in DELETED


def table() -> Iterator[Line]:
    """Lists, actions and pages."""
    yield from ((f"{name}_changelist", "get", True) for name in LISTS.split())
    yield from ((name, "post", True) for name in ACTIONS.split())
    # It completes nothing for anybody until a form asks for it.
    yield "autocomplete", "get", False
    yield from ((name, "get", True) for name in PAGES.split())


def names() -> set[str]:
    """All that the table knows."""
    return {name for name, _, _ in (*table(), *rows())} | DOORS


def values_of(name: str, staff: int) -> dict[str, Any]:
    """What stands for an address's parameters: a row of its list, where there is one."""
    for model in admin.site._registry:
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            first = model._default_manager.order_by("pk").values_list("pk", flat=True).first()
            return {"object_id": "0" if first is None else first}
    return {"id": staff, "app_label": "core", "url": "nothing", "content_type_id": 0, "object_id": 0}
