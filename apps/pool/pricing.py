"""What a chunk costs: between the fee's floor and ceiling, base price by size and utilisation multipliers."""

from apps.core import parameters

BILLION = 10**9


def size_multiplier(parameter_count: int) -> int:
    """How many times the base price a model of so many parameters costs."""
    for size in ("small", "medium", "large"):
        if parameter_count <= parameters.get(f"fees.size_{size}_to") * BILLION:
            return int(parameters.get(f"fees.size_{size}"))
    return int(parameters.get("fees.size_huge"))


def utilisation_percent(busy: int, slots: int) -> int:
    """What part of its price a chunk costs while `busy` of `slots` slots are in use, in percent."""
    use = "idle"
    for step in ("normal", "busy", "full"):
        if 100 * busy >= parameters.get(f"fees.use_{step}_from") * slots:
            use = step
    return int(parameters.get(f"fees.use_{use}"))


def price(parameter_count: int, busy: int, slots: int) -> int:
    """Base units for one chunk on a network with `busy` of `slots` slots in use."""
    asked = parameters.get("fees.base") * size_multiplier(parameter_count) * utilisation_percent(busy, slots) // 100
    return int(min(parameters.get("fees.ceiling"), max(parameters.get("fees.floor"), asked)))
