"""docs/tokenomics.md says what the code does: every number of it is compared with a parameter or computed again."""

import re
from pathlib import Path

import pytest

from apps.core.parameters import PARAMETERS
from apps.ledger import emission, fees, genesis
from apps.ledger.amounts import MAX_SUPPLY, MESH, show
from apps.ledger.rewards import Work
from meshwork import settings as site_settings
from tests.apps.ledger.cast import NOW

PAGE = Path(__file__).resolve().parents[3] / "docs" / "tokenomics.md"
GOVERNED = ("fees.", "stake.", "tier.", "rewards.", "faucet.", "genesis.", "slashing.")
SPANS = {"day": 86_400, "days": 86_400, "hour": 3_600, "hours": 3_600}
TREASURY = 2_100_000 * MESH


def lines() -> list[str]:
    return PAGE.read_text().splitlines()


def table(heading: str) -> list[list[str]]:
    """The rows of the table with that heading, cell by cell."""
    rows = lines()
    start = next(i for i, line in enumerate(rows) if line.startswith("|") and heading in line)
    found = []
    for line in rows[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def said(value: str) -> int:
    """A default as the page writes it, in the parameter's own unit."""
    number, _, unit = value.partition(" ")
    if unit == "MESH":
        whole, _, decimals = number.partition(".")
        return int(whole) * MESH + int(decimals.ljust(8, "0") or 0)
    return int(number) * SPANS.get(unit, 1)


def parameters_of_the_page() -> dict[str, str]:
    rows = [re.fullmatch(r"\| `([a-z_.]+)` \| ([^|]+) \| [^|]+ \|", line) for line in lines()]
    return {row[1]: row[2] for row in rows if row and row[1] in PARAMETERS}


def test_every_parameter_of_the_page_has_its_default() -> None:
    wrong = {
        name: (value, PARAMETERS[name].default)
        for name, value in parameters_of_the_page().items()
        if said(value) != PARAMETERS[name].default
    }
    assert wrong == {}


def test_every_parameter_of_the_economy_is_on_the_page() -> None:
    governed = {name for name in PARAMETERS if name.startswith(GOVERNED)}
    assert governed - set(parameters_of_the_page()) == set()
    assert len(governed) > 20


def test_no_table_names_a_parameter_that_does_not_exist() -> None:
    named = set(
        re.findall(r"^\| `((?:fees|stake|tier|rewards|faucet|genesis|slashing)\.[a-z_]+)`", PAGE.read_text(), re.M)
    )
    assert named <= set(PARAMETERS)


def test_prose_has_no_number_that_nothing_checks() -> None:
    prose = [line for line in lines() if not line.startswith(("|", "#", "`"))]
    loose = [line for line in prose if re.search(r"\d", re.sub(r"`[^`]*`", "", line))]
    assert loose == []


def test_the_constants_are_the_codes() -> None:
    assert dict(table("| constant |")) == {
        "Base units of one MESH": str(MESH),
        "Most that may ever be minted, MESH": show(MAX_SUPPLY),
        "Treasury at genesis, MESH": show(TREASURY),
        "Treasury's part of the cap, %": str(100 * TREASURY // MAX_SUPPLY),
        "Emission of a block in the first era, MESH": show(emission.BLOCK_REWARD),
        "Blocks of an era": str(emission.ERA_BLOCKS),
        "Seconds of a block, unless genesis says otherwise": "600",
    }
    assert 'integer("MESH_BLOCK_SECONDS", 600)' in Path(site_settings.__file__).read_text()


def test_the_schedule_is_what_the_chain_emits() -> None:
    minted, expected = TREASURY, []
    for era in range(4):
        first, end = max(1, era * emission.ERA_BLOCKS), (era + 1) * emission.ERA_BLOCKS
        units = min(emission.emitted(first, end), MAX_SUPPLY - minted)
        minted += units
        cells = [era, first, end - 1, show(emission.reward_at(first)), show(units), show(minted)]
        expected.append([str(cell) for cell in cells])
    assert table("| era |") == expected
    assert minted == MAX_SUPPLY


def test_the_cap_is_reached_at_the_block_that_the_page_names() -> None:
    [height] = re.findall(r"reached at block `(\d+)`", PAGE.read_text())
    room = MAX_SUPPLY - TREASURY
    assert emission.emitted(0, int(height)) < room <= emission.emitted(0, int(height) + 1)


def test_the_example_of_an_epoch_is_what_the_code_shares() -> None:
    [pool] = re.findall(r"a pool of `(\d+)` MESH", PAGE.read_text())
    tiers = [int(PARAMETERS[f"tier.{name}_multiplier"].default) for name in ("all", "oracle", "guardian")]
    work = [Work("n", "user:1", tier, 1_000_000, 1_000_000, 1, is_new=False) for tier in tiers]
    shares = fees.proportional(int(pool) * MESH, [row.weight for row in work])
    rows = [
        [name, str(tier), show(units)]
        for name, tier, units in zip(("ALL", "ORACLE", "GUARDIAN"), tiers, shares, strict=True)
    ]
    assert table("| tier |") == rows


def test_the_split_of_a_fee_is_the_codes(db: None) -> None:
    for fee, *parts in table("| fee |"):
        assert [str(units) for units in fees.split(int(fee))] == parts


def test_what_genesis_fixes_is_what_it_writes(db: None) -> None:
    config = genesis.document(network="x", testnet=False, timestamp=NOW, block_seconds=600)["config"]
    rows = {re.findall(r"`config\.(\w+)`", cell)[0]: value for cell, value in table("| of genesis |")}
    assert rows == {name: str(value) for name, value in config.items()}


def test_the_faucet_gives_an_account_what_the_page_says() -> None:
    [most] = re.findall(r"at most `(\d+)` MESH for an account", PAGE.read_text())
    rewards = ("wallet_connect", "shard_hosting", "first_inference", "uptime_bonus")
    assert int(most) * MESH == sum(int(PARAMETERS[f"faucet.{name}"].default) for name in rewards)


def test_a_default_that_moves_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PARAMETERS["fees.burn_percent"]
    monkeypatch.setitem(PARAMETERS, "fees.burn_percent", type(spec)(6, spec.low, spec.high, spec.unit, spec.meaning))
    with pytest.raises(AssertionError):
        test_every_parameter_of_the_page_has_its_default()
