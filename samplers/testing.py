"""The conformance kit: what every sampler must satisfy, as checks that anyone can run on their own.

    check_sampler(MySampler())                                  # raises AssertionError with every failure in it

    @parametrize([MySampler(), MySampler(eta=0.5)])             # pytest: one test for each sampler and check
    def test_my_sampler(check):
        check()

A check is a plain function of a sampler that raises AssertionError with one sentence: what was measured, what was
expected and the likely cause. Which ones apply follows from the sampler's class attributes. Failures that are known and
intended are data, ``{"check_order": "fixed coefficients, second order on equal steps only"}``, and must go on failing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .conformance import accuracy, contract
from .conformance.trial import label
from .protocols import Sampler

Check = Callable[[Sampler], None]


def checks(sampler: Sampler) -> Iterator[tuple[str, Check]]:
    """The checks that apply to this sampler, by name."""
    other = accuracy.check_order if sampler.stochastic else accuracy.check_moments
    for check in (*contract.CHECKS, *accuracy.CHECKS):
        if check is not other:
            yield check.__name__, check


def check_sampler(sampler: Sampler, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all checks; raise one AssertionError that lists every failure, and every expected failure that passed.

    Args:
        expected_failures: check name to the reason why this sampler is meant to fail it.
    """
    expected, problems = dict(expected_failures or {}), []
    _known(expected, [name for name, _ in checks(sampler)])
    for name, check in checks(sampler):
        try:
            check(sampler)
        except Exception as error:
            if name not in expected:
                problems.append(f"{name}: {error if isinstance(error, AssertionError) else repr(error)}")
        else:
            if name in expected:
                problems.append(f"{name}: passed, but was expected to fail: {expected[name]}")
    if problems:
        raise AssertionError("\n".join(problems))


def parametrize(
    samplers: Sequence[Sampler], expected_failures: Mapping[str, Mapping[str, str]] | None = None
) -> Callable[[Any], Any]:
    """Decorate a pytest test with one argument, ``check``, to call it for every sampler and check.

    Args:
        expected_failures: for a sampler's ``label``, its check names and reasons; they become strict xfails.
    """
    import pytest

    expected = dict(expected_failures or {})
    _known(expected, [label(sampler) for sampler in samplers])
    cases = []
    for sampler in samplers:
        reasons = expected.get(label(sampler), {})
        _known(reasons, [name for name, _ in checks(sampler)])
        for name, check in checks(sampler):
            marks = [pytest.mark.xfail(reason=reasons[name], strict=True)] if name in reasons else []
            cases.append(pytest.param(functools.partial(check, sampler), id=f"{label(sampler)}-{name}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def _known(names: Iterable[str], legal: Sequence[str]) -> None:
    for name in names:
        if name not in legal:
            raise ValueError(f"expected_failures names {name!r}, which is none of {', '.join(legal)}")
