"""What a chunk costs: between the fee's floor and ceiling, base price by size and utilisation multipliers."""

from apps.core import parameters

# (up to parameters of the model, multiplier)
SIZES = ((7 * 10**9, 1), (13 * 10**9, 2), (70 * 10**9, 5))
LARGEST = 10
# (below this share of busy slots in percent, multiplier in halves)
UTILISATION = ((50, 1), (80, 2), (95, 3))
BUSIEST = 4


def size_multiplier(parameter_count: int) -> int:
    """1, 2, 5 or 10 for models of up to 7, 13, 70 billion parameters, and more."""
    return next((factor for limit, factor in SIZES if parameter_count <= limit), LARGEST)


def utilisation_halves(busy: int, slots: int) -> int:
    """The multiplier 0.5, 1, 1.5 or 2 in halves, for less than 50, 80, 95 percent of the slots busy, and more."""
    percent_slots = 100 * busy
    return next((halves for limit, halves in UTILISATION if percent_slots < limit * slots), BUSIEST)


def price(parameter_count: int, busy: int, slots: int) -> int:
    """Base units for one chunk on a network with `busy` of `slots` slots in use."""
    asked = parameters.get("fees.base") * size_multiplier(parameter_count) * utilisation_halves(busy, slots) // 2
    return int(min(parameters.get("fees.ceiling"), max(parameters.get("fees.floor"), asked)))
