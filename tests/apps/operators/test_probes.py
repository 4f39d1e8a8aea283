"""Reports of machines: those kept from before the checks are cleaned, and no door lets another one in."""

import importlib
from dataclasses import replace
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from apps.operators import enrolment, hardware, hosts, wallets
from apps.operators.errors import ProbeRefused
from apps.operators.models import Node, Operator, ShardHost
from tests.apps.operators.test_enrolment import prepared
from tests.apps.operators.test_hosts import asked
from tests.apps.operators.test_wallets import fresh
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey

GOOD: dict[str, Any] = {
    "gpu_type": "cpu",
    "cpu_name": "EPYC",
    "cpu_cores": 8,
    "memory_mb": 32_000,
    "memory_gb": 32,
    "gflops": 500,
    "frameworks": ["numpy"],
    "cuda_available": False,
}
BAD: dict[str, Any] = {
    "gpu_type": "abacus",
    "cpu_name": ["EPYC"],
    "cpu_cores": "8",
    "memory_mb": -1,
    "memory_gb": 10**30,
    "gflops": "x",
    "frameworks": "numpy",
    "cuda_available": "yes",
}
migration = importlib.import_module("apps.operators.migrations.0008_probes_of_their_types")


def clean(node: Node, probe: Any) -> Any:
    Node.objects.filter(pk=node.pk).update(probe=probe)
    migration.check(apps, None)
    node.refresh_from_db()
    return node.probe


@pytest.fixture
def node(operator: Operator) -> Node:
    return enrolment.enrol(prepared(operator), utcnow())


@pytest.mark.parametrize("field", BAD)
def test_a_bad_value_that_was_kept_is_left_out_and_the_others_stay(node: Node, field: str) -> None:
    kept = clean(node, {**GOOD, field: BAD[field]})
    assert kept == {name: value for name, value in GOOD.items() if name != field}
    assert hardware.enrolled(kept) == kept


@pytest.mark.parametrize("probe", [[], "a probe", 7, ["gpu_type"]])
def test_what_is_no_report_at_all_becomes_an_empty_one(node: Node, probe: Any) -> None:
    assert clean(node, probe) in ({}, [])
    assert not node.probe


def test_a_good_report_stays_as_it_is(node: Node) -> None:
    assert clean(node, GOOD) == GOOD
    assert clean(node, {}) == {}


@pytest.mark.parametrize("field", BAD)
def test_a_host_of_shards_brings_no_bad_value_in(platform_redis: object, field: str) -> None:
    wallet = SigningKey.generate()
    wallets.enter(fresh(wallet), wallets.SIGN_IN, utcnow(), address="127.0.0.1")
    request = asked(wallet)
    with pytest.raises(ProbeRefused):
        hosts.join(replace(request, probe={field: BAD[field]}), utcnow())
    with pytest.raises(ProbeRefused):
        hosts.join(replace(request, probe={"cpu_name": "\x00"}), utcnow())
    host = hosts.join(replace(request, probe={**GOOD, "newer": "field"}), utcnow())
    assert host.probe == GOOD
    ShardHost.objects.update(probe={**GOOD, field: BAD[field]})
    migration.check(apps, None)
    host.refresh_from_db()
    assert field not in host.probe


@pytest.mark.urls("meshwork.node_urls")
def test_the_networks_sums_count_a_cleaned_row(client: Client, operator: Operator, node: Node) -> None:
    Node.objects.update(status="online", reason="", next_step="")
    clean(node, {**GOOD, "memory_mb": "x"})
    assert client.get("/status").json()["gpu_capacity"]["cpu_cores"] == 8
