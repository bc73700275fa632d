"""Weighted sums: the numbers of the plain formula, in as few operations as they are said to take."""

import pytest
import torch

from sigmabench.eval.benchmarks.traffic import Traffic
from sigmabench.samplers.sums import cast, pair, times, weighted

EPS = torch.finfo(torch.float32).eps
VALUES = torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(1)).unbind()
FACTORS = [-80.0, -1e-3, 0.0, 1e-6, 0.3, 0.5, 0.999999, 1.0, 2.0, 14.6]
PAIRS = [(a, b) for a in FACTORS for b in (*FACTORS, 1 - a)]


def rounding(terms):
    """A few roundings of the largest term, number by number."""
    return 3 * EPS * torch.stack([term.abs() for term in terms]).amax(0)


@pytest.mark.parametrize("k", FACTORS)
def test_times_is_the_product_to_one_rounding(k):
    x = VALUES[0]
    assert ((times(x, k).double() - x.double() * k).abs() <= EPS * (x * k).abs()).all()


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_a_pair_is_the_sum_of_products_to_rounding(a, b):
    x, y = VALUES[:2]
    exact = x.double() * a + y.double() * b
    largest = [x * a, y * b] if a + b != 1 else [x * max(abs(a), abs(b)), y * max(abs(a), abs(b))]
    assert ((pair(x, y, a, b).double() - exact).abs() <= rounding(largest)).all()


@pytest.mark.parametrize("weights", [(0.3, 0.7, -2.0, 0.0), (0.9, 0.3, 1.5, -4.0), (1.0, 2.0, 3.0, 4.0), (0, 0, 1, 1)])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_weighted_sum_is_the_sum_of_products_to_rounding(count, weights):
    values, weights = VALUES[:count], weights[:count]
    terms = [value.double() * weight for value, weight in zip(values, weights, strict=True)]
    assert ((weighted(values, weights).double() - sum(terms)).abs() <= 2 * rounding(terms)).all()


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_sums_are_new_tensors_and_leave_what_they_are_made_of(a, b):
    x, y, z = (value.clone() for value in VALUES[:3])
    for made in (times(x, a), pair(x, y, a, b), weighted([x], [a]), weighted([x, y, z], [a, b, a])):
        made.fill_(torch.nan)
    assert all(map(torch.equal, (x, y, z), VALUES[:3]))


@pytest.mark.parametrize(
    ("weights", "operations"),
    [
        ((0.7,), 1),
        ((0.3, 0.7), 1),
        ((1.0, 2.0), 1),
        ((0.0, 0.4), 1),
        ((0.4, 0.0), 1),
        ((0.6, 0.6), 2),
        ((0.3, 0.7, 2.0, 0.0), 2),
        ((0.3, 0.3, 0.2, 0.1), 4),
    ],
)
def test_sums_take_no_more_operations_than_said(weights, operations):
    with Traffic(VALUES[0].numel()) as counted:
        weighted(VALUES[: len(weights)], weights)
    assert counted.operations == operations


def test_a_cast_to_the_same_dtype_is_the_tensor_itself():
    x = VALUES[0]
    assert cast(x, torch.float32) is x
    assert cast(x, torch.float64).equal(x.double())
