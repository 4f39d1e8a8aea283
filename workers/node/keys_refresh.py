"""A newer list of the platform's keys, accepted only from the pinned root and never an older one."""

from dataclasses import replace
from pathlib import Path

from workers.node.errors import TrustBroken
from workers.node.identity import Identity, save
from workers.node.join import discover
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import open_key_list


def refresh_keys(directory: Path, identity: Identity) -> Identity:
    """Fetch, check and keep the network's current key list. Raises TrustBroken and keeps the old one otherwise."""
    network = discover(identity.site_url)
    try:
        fresh = open_key_list(network["key_list"], identity.root_fingerprint)
    except (ProtocolError, KeyError) as error:
        raise TrustBroken(f"The new key list is not signed by the pinned root: {error}") from error
    if fresh.version < identity.keys().version:
        raise TrustBroken("The network offered an older key list than the one held here.")
    updated = replace(identity, key_list=network["key_list"])
    save(directory, updated)
    return updated
