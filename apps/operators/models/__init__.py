"""Operators and what is theirs."""

from apps.operators.models.accounts import ApiKey, Notification, Scope, Wallet
from apps.operators.models.conduct import Appeal, Ban, BanKind, ReputationChange, ReputationKind
from apps.operators.models.ethereum import EthereumAddress, NodeBinding
from apps.operators.models.nodes import (
    NODE_TRANSITIONS,
    EnrolmentToken,
    Node,
    NodeEvent,
    NodeStatus,
    RetiredKey,
    node_event_kind,
)
from apps.operators.models.people import (
    APPLICATION_TRANSITIONS,
    Application,
    ApplicationStatus,
    Criterion,
    Operator,
    Stake,
    Tier,
)
from apps.operators.models.slashes import SlashAppeal, SlashCase
from apps.operators.models.sybil import Join, ShardHost

__all__ = [
    "APPLICATION_TRANSITIONS",
    "NODE_TRANSITIONS",
    "ApiKey",
    "Appeal",
    "Application",
    "ApplicationStatus",
    "Ban",
    "BanKind",
    "Criterion",
    "EnrolmentToken",
    "EthereumAddress",
    "Join",
    "Node",
    "NodeBinding",
    "NodeEvent",
    "NodeStatus",
    "Notification",
    "Operator",
    "ReputationChange",
    "ReputationKind",
    "RetiredKey",
    "Scope",
    "ShardHost",
    "SlashAppeal",
    "SlashCase",
    "Stake",
    "Tier",
    "Wallet",
    "node_event_kind",
]
