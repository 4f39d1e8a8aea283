"""Kill -9 of the executor at every step of a plan: no order twice, none lost, the books of both sides the same.

A tracer raises between any two lines of execution, of the books and of the paper exchange: what is not committed by
then is gone, as after a kill. A process of its own is killed for real at the steps that matter.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest
from django.db import connection

from apps.core import parameters
from apps.trading import execution, execution_orders, execution_schedule, positions, reconciliation
from apps.trading.exchange import paper, port
from apps.trading.models import Order, Plan, PlanStatus, Position
from apps.trading.risk import states
from tests.apps.trading import market_cast as cast
from tests.apps.trading.market_cast import NOW, at

TRACED = {module.__file__ for module in (execution, execution_orders, execution_schedule, positions, paper, port)}
FEW = 7


class Killed(BaseException):
    """Nothing catches this."""


@contextmanager
def killed_at(step: int) -> Iterator[list[int]]:
    """Raise before the line of that number; yields how many lines were run."""
    done = [0]

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            done[0] += 1
            if done[0] == step:
                raise Killed(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return line

    def call(frame: FrameType, event: str, arg: Any) -> Any:
        # What only tidies up does not run after a kill; the lock goes with the connection.
        return line if frame.f_code.co_filename in TRACED and frame.f_code.co_name != "alone" else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield done
    finally:
        sys.settrace(before)


def buying() -> None:
    """Two slices of an entry."""
    cast.entry("2.5")
    cast.run(2)


def selling() -> None:
    """A sale of what was bought without a tracer."""
    execution.open_exit(Position.objects.get(), "stop_loss", at(10), at(10))
    cast.run(1, first=10)


def faulty() -> None:
    """An order whose answer is lost, asked for in the next minute."""
    cast.entry("2.5")
    paper.show_fault("timeout")
    cast.run(3)


SCENES: dict[str, tuple[Callable[[], Any], Callable[[], None]]] = {
    "buying": (lambda: None, buying),
    "selling": (cast.held, selling),
    "faulty": (lambda: None, faulty),
}


def rehearse(scene: str, step: int) -> int:
    """Play a scene, kill it at a step, start again and go on to the end; returns how many lines it has."""
    lines = 0
    for _ in cast.sandbox():
        parameters.forget_cached()
        cast.bars(last=40)
        prepare, play = SCENES[scene]
        prepare()
        depth = len(connection.atomic_blocks)
        with killed_at(step) as done:
            try:
                play()
            except Killed as error:
                # Raised on a `with` line Python leaves the block without its end; a connection that dies does not.
                while len(connection.atomic_blocks) > depth:
                    connection.atomic_blocks[-1].__exit__(Killed, error, None)
            else:
                lines = done[0]
        finish()
    return lines


def finish(again: int = 15) -> None:
    """A new executor, to the end; then everything must be as if nothing had happened but time."""
    execution.recover(at(again), at(again))
    cast.run(8, first=again)
    cast.check_books()
    assert not Plan.objects.filter(status__in=[PlanStatus.PENDING, PlanStatus.RUNNING]).exists()
    for position in Position.objects.filter(closed_at=None, plans__purpose="EXIT"):
        execution.open_exit(position, "stop_loss", at(30), at(30))
    cast.run(1, first=30)
    assert not Position.objects.filter(closed_at=None, plans__purpose="EXIT").exists()
    assert reconciliation.run(at(32), at(32)).ok
    assert states.current().state == "ACTIVE"


@pytest.mark.django_db
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_every_few_lines_it_loses_and_doubles_nothing(scene: str) -> None:
    lines = rehearse(scene, 0)
    assert lines > 200
    for step in range(1, lines + 1, lines // FEW):
        rehearse(scene, step)


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_every_line_it_loses_and_doubles_nothing(scene: str) -> None:
    for step in range(1, rehearse(scene, 0) + 1):
        rehearse(scene, step)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("step", "left"), [("prepared", "PREPARED"), ("marked", "UNKNOWN"), ("sent", "UNKNOWN")])
def test_a_process_killed_for_real_leaves_what_the_next_one_needs(step: str, left: str) -> None:
    cast.bars(last=40)
    plan = cast.entry("2.5")
    paper.PaperExchange({"market_now": NOW}).load_markets()
    child = os.fork()
    if child == 0:
        die_at(step)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert Order.objects.get().status == left
    finish(1)
    plan.refresh_from_db()
    assert (plan.status, plan.filled_quantity) == (PlanStatus.DONE, plan.quantity)


def die_at(step: str) -> NoReturn:
    """In a child: a connection of its own, and SIGKILL where the step is reached."""
    # The parent's connection is kept unused: closing it here would end the session of both.
    inherited, connection.connection = connection.connection, None

    def dies(*args: Any, **kwargs: Any) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(inherited)

    try:
        module, name = {
            "prepared": (execution_orders, "dispatch"),
            "marked": (port, "send"),
            "sent": (execution_orders, "settle"),
        }[step]
        setattr(module, name, dies)
        execution.advance(NOW, NOW)
    finally:
        os._exit(1)
