"""How a multistep method begins, which decides its order.

Its first step knows one prediction, the second two. A method through p points needs a start whose error is as small as
its own: ``start="euler"`` costs nothing and caps the order at 2, ``start="runge_kutta"`` takes the first p - 2 steps by
a single-step method of order p - 1 on the same quantity, with ``start_evaluations`` more, and keeps order p.
"""

from __future__ import annotations

from .derived import derived
from .dpm_solver import THIRD_ORDER, second_order
from .exponential_tableaux import REFINED_3, refined_2
from .form import DATA, NOISE_LOG_SNR, Form
from .runge_kutta_tableaux import METHODS
from .tableau import Tableau

STARTS = ("euler", "runge_kutta")
START_HELP = "method of the first steps: runge_kutta costs 1 evaluation for 3 points, 4 for 4, and keeps the order"

_CLASSICAL = {3: METHODS["midpoint"].tableau, 4: METHODS["ralston3"].tableau}
_EXPONENTIAL = {
    NOISE_LOG_SNR: {3: second_order(0.5), 4: THIRD_ORDER},
    DATA: {3: refined_2(0.5), 4: REFINED_3},
}


def start_method(form: Form, points: int, start: str) -> Tableau | None:
    """The method of the first points - 2 steps; None for Euler's step and one more point a step."""
    return _EXPONENTIAL.get(form, _CLASSICAL).get(points) if start == "runge_kutta" else None


@derived
def started_order(self) -> int:  # noqa: ANN001
    """The order of a multistep method through ``points`` predictions, as its ``start`` leaves it."""
    return self.points if self.start == "runge_kutta" else min(self.points, 2)


@derived
def start_cost(self) -> int:  # noqa: ANN001
    """Evaluations beyond one a step: points - 2 steps by a method of order points - 1."""
    return (self.points - 2) ** 2 if self.start == "runge_kutta" and self.points > 2 else 0
