"""Against one person who pretends to be many: how much may come from one network address in an hour.

Addresses are counted by a keyed hash, whole for IPv4 and by their /64 for IPv6, and forgotten after the hour.
"""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from apps.core import parameters
from apps.operators.models import Join
from apps.operators.sybil_errors import TooManyAccounts, TooManyJoins

HOUR_S = 3600
HOUR = timedelta(seconds=HOUR_S)


def address_of(request: HttpRequest) -> str:
    """Where a request came from: behind trusted proxies, what the outermost of them saw."""
    proxies: int = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    passed = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if proxies and len(passed) >= proxies:
        return passed[-proxies]
    return str(request.META.get("REMOTE_ADDR", ""))


def is_exempt(address: str) -> bool:
    """Whether nothing is counted: the machine itself, on a test network.

    A whole network is tried on one machine then. On a mainnet loopback counts as any other address does: it would be
    all the world, seen through a proxy that the settings do not know.
    """
    try:
        return bool(settings.IS_TESTNET and ip_address(address).is_loopback)
    except ValueError:
        return False


def network_key(address: str) -> str:
    """What is kept of an address: 40 hex digits that tell nobody which one it was."""
    try:
        parsed = ip_address(address)
    except ValueError:
        network = address
    else:
        mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        network = str(mapped or parsed)
        if isinstance(parsed, IPv6Address) and mapped is None:
            network = f"{int(parsed) >> 64:x}::/64"
    return salted_hmac("apps.operators.sybil", network, algorithm="sha256").hexdigest()[:40]


def count_account(address: str) -> None:
    """Count an account that a wallet makes. Raises TooManyAccounts above the hour's most."""
    if is_exempt(address):
        return
    key = f"sybil:accounts:{network_key(address)}"
    cache.add(key, 0, HOUR_S)
    try:
        made = cache.incr(key)
    except ValueError:  # The hour ended in between.
        return
    if made > parameters.get("operators.wallet_accounts_hour"):
        raise TooManyAccounts


def count_join(address: str, now: datetime) -> None:
    """Count a machine that joins; one that fails to takes its count back with its transaction, which this needs.

    Raises TooManyJoins above the hour's most.
    """
    if is_exempt(address):
        return
    network = network_key(address)
    with connection.cursor() as cursor:
        # Until commit, so that joins from one network are counted one after another.
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"join:{network}"])
    Join.objects.filter(at__lte=now - HOUR).delete()
    if Join.objects.filter(network=network, at__gt=now - HOUR).count() >= parameters.get("operators.joins_per_hour"):
        raise TooManyJoins
    Join.objects.create(network=network, at=now)
