"""What the kinds of accounts and transfers are, in words."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

ACCOUNTS = {
    "wallet": gettext_noop("What somebody may spend."),
    "stake": gettext_noop("What an operator has at stake. It can be slashed, also while it is on its way out."),
    "hold": gettext_noop("What somebody's open holds set aside for work under way: it is paid out, or goes back."),
    "escrow": gettext_noop(
        "Waits for its time: rewards of new nodes, a day's emission, slashed stake until its appeal."
    ),
    "treasury": gettext_noop("The network's own money. It pays what the network decides."),
    "burn": gettext_noop("Burnt tokens. Nothing ever leaves this account."),
    "mint": gettext_noop("Where tokens come from. What it is below zero is what was ever minted."),
    "faucet": gettext_noop("What a test network gives away."),
    "bridge": gettext_noop("Tokens that left for another chain."),
}
TRANSFERS = {
    "genesis.treasury": gettext_noop("Minted to the treasury when the network began"),
    "genesis.faucet": gettext_noop("The testnet's faucet, filled when the network began"),
    "transfer": gettext_noop("A payment from wallet to wallet, signed by the payer"),
    "hold.place": gettext_noop("Set aside for work that was asked for"),
    "hold.void": gettext_noop("Set aside and given back, since the work was not done"),
    "hold.expire": gettext_noop("Set aside and given back, since its time was over"),
    "fee.provider": gettext_noop("The provider's share of a fee"),
    "fee.burn": gettext_noop("The share of a fee that is burnt"),
    "fee.treasury": gettext_noop("The treasury's share of a fee"),
    "emission": gettext_noop("A day's new tokens, minted once"),
    "reward.epoch": gettext_noop("An operator's share of a day's new tokens"),
    "reward.escrow": gettext_noop("The half of a new node's reward that waits in escrow"),
    "escrow.release": gettext_noop("Rewards whose time in escrow is over"),
    "stake.lock": gettext_noop("Put at stake"),
    "stake.release": gettext_noop("Stake that has left, after its unbonding time"),
    "slash.escrow": gettext_noop("Stake taken for a fault, held until its appeal is over"),
    "slash.burn": gettext_noop("The half of slashed stake that is burnt"),
    "slash.treasury": gettext_noop("The half of slashed stake that the treasury gets"),
    "slash.return": gettext_noop("Slashed stake that goes back after an appeal"),
    "slash.bond": gettext_noop("The bond of an appeal that was turned down"),
    "grant.stake": gettext_noop("A tier's stake, granted to an approved operator of the testnet"),
    "grant.treasury": gettext_noop("Granted from the treasury by the testnet's staff"),
}
FAMILIES = {
    "faucet": gettext_noop("A reward of the testnet's faucet"),
    "fee": gettext_noop("Part of a fee"),
    "reward": gettext_noop("A reward"),
    "slash": gettext_noop("Slashed stake"),
}


def of_account(kind: str) -> str:
    """What an account of that kind holds."""
    return _(ACCOUNTS[kind]) if kind in ACCOUNTS else ""


def of_transfer(kind: str) -> str:
    """What a transfer of that kind is; nothing where nobody said it."""
    found = TRANSFERS.get(kind) or FAMILIES.get(kind.partition(".")[0])
    return _(found) if found else ""
