"""The instrument that measures RES4LYF's tableaux, on tableaux of textbooks, whose orders are known."""

import math

import pytest
import torch

from sigmabench.eval.faults import res4lyf

METHODS = {
    "heun_2s": ([[0, 0], [1, 0]], [[0.5, 0.5]], [0, 1]),
    "gauss-legendre_2s": (
        [[1 / 4, 1 / 4 - math.sqrt(3) / 6], [1 / 4 + math.sqrt(3) / 6, 1 / 4]],
        [[0.5, 0.5]],
        [0.5 - math.sqrt(3) / 6, 0.5 + math.sqrt(3) / 6],
    ),
    "broken_2s": ([[0, 0], [1, 0]], [[0.3, 0.7]], [0, 1]),
}


class Tables:
    """What stands for its module."""

    def is_exponential(self, name):
        return name.startswith("res")

    def get_rk_methods_beta(self, name, h, **_):
        if name == "res_2s":  # exponential midpoint
            phi = lambda z: -math.expm1(-z) / z  # noqa: E731
            found = [[0, 0], [phi(h / 2) / 2, 0]], [[0, phi(h)]], [0, 0.5]
        else:
            found = METHODS[name]
        a, b, c = found
        return a, b, None, None, [*c, 1], 0, 0, False


@pytest.mark.parametrize(("name", "order"), [("heun_2s", 2), ("gauss-legendre_2s", 4), ("broken_2s", 1), ("res_2s", 2)])
def test_the_order_of_a_known_tableau_is_measured(name, order):
    assert res4lyf.measured(Tables(), name) == pytest.approx(order, abs=0.15)


FAMILIES = {
    "gauss-legendre_2s": 4,
    "gauss-legendre_5s": 4,
    "radau_iia_2s": 3,
    "lobatto_iiic_star_2s": 2,
    "crouzeix_2s": 3,
    "pareschi_russo_alt_2s": 2,
    "res_3s_alt": 3,
    "rk5_7s": 4,
    "ssprk4_4s": 3,
    "ddim": 1,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_order_of_a_family(name):
    assert res4lyf.label(name) == FAMILIES[name]


def test_stages_that_depend_on_each_other_are_solved():
    """y = 1 + h y has the solution 1 / (1 - h)."""
    (y,) = res4lyf._stages([[1.0]], torch.ones(1, dtype=torch.float64), lambda i, y: y, torch.tensor(0.1))
    assert y.item() == pytest.approx(1 / 0.9, rel=1e-8)
