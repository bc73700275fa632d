"""The conformance kit: what every plugin must satisfy, as checks that anyone can run on their own.

    check_sampler(MySampler())                                  # raises AssertionError with every failure in it
    check_schedule(MySchedule())
    check_spacing(MySpacing())
    check_guidance(MyGuidance())

    @parametrize([MySampler(), MySampler(eta=0.5)])             # pytest: one test for each sampler and check
    def test_my_sampler(check):
        check()

    @parametrize([MySpacing()], kind="spacing")
    def test_my_spacing(check):
        check()

A check is a plain function of a plugin that raises AssertionError with one sentence: what was measured, what was
expected and the likely cause. Which ones apply to a sampler follows from its class attributes. Failures that are known
and intended are data, ``{"check_order": "fixed coefficients, second order on equal steps only"}``, and must go on
failing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .conformance import accuracy, contract, of_guidance, of_schedules, of_spacings
from .conformance.trial import label
from .protocols import Guidance, NoiseSchedule, Sampler, Spacing

Check = Callable[[Any], None]

CHECKS: Mapping[str, tuple[Check, ...]] = {
    "sampler": (*contract.CHECKS, *accuracy.CHECKS),
    "schedule": of_schedules.CHECKS,
    "spacing": of_spacings.CHECKS,
    "guidance": of_guidance.CHECKS,
}
"""By the kind of plugin."""


def checks(plugin: Any, kind: str = "sampler") -> Iterator[tuple[str, Check]]:
    """The checks that apply to this plugin, by name.

    Args:
        kind: sampler, schedule, spacing or guidance.
    """
    skipped = _of_other_samplers(plugin) if kind == "sampler" else set()
    for check in CHECKS[kind]:
        if check not in skipped:
            yield check.__name__, check


def _of_other_samplers(sampler: Sampler) -> set[Check]:
    """Steps and their order mean nothing where error control decides, and the reverse."""
    if sampler.evaluations is None:
        return {
            accuracy.check_order,
            accuracy.check_moments,
            accuracy.check_noise_path,
            contract.check_evaluations,
        }
    others: set[Check] = (
        {accuracy.check_order} if sampler.stochastic else {accuracy.check_moments, accuracy.check_noise_path}
    )
    return {accuracy.check_error_control, *others}


def check_sampler(sampler: Sampler, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all checks; raise one AssertionError that lists every failure, and every expected failure that passed.

    Args:
        expected_failures: check name to the reason why this sampler is meant to fail it.
    """
    _check_all(sampler, "sampler", expected_failures)


def check_schedule(schedule: NoiseSchedule, expected_failures: Mapping[str, str] | None = None) -> None:
    """``check_sampler`` of a noise schedule: noise grows, ``time`` inverts ``level``, ``project`` rescales."""
    _check_all(schedule, "schedule", expected_failures)


def check_spacing(spacing: Spacing, expected_failures: Mapping[str, str] | None = None) -> None:
    """``check_sampler`` of a spacing: steps + 1 levels from noisy to clean on schedules of every process."""
    _check_all(spacing, "spacing", expected_failures)


def check_guidance(guidance: Guidance, expected_failures: Mapping[str, str] | None = None) -> None:
    """``check_sampler`` of a guidance method: its branches, its images apart, and no guidance where there is none."""
    _check_all(guidance, "guidance", expected_failures)


def parametrize(
    plugins: Sequence[Any],
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    kind: str = "sampler",
) -> Callable[[Any], Any]:
    """Decorate a pytest test with one argument, ``check``, to call it for every plugin and check.

    Args:
        expected_failures: for a plugin's ``label``, its check names and reasons; they become strict xfails.
        kind: what the plugins are: sampler, schedule, spacing or guidance.
    """
    import pytest

    expected = dict(expected_failures or {})
    _known(expected, [label(plugin) for plugin in plugins])
    cases = []
    for plugin in plugins:
        reasons = expected.get(label(plugin), {})
        _known(reasons, [name for name, _ in checks(plugin, kind)])
        for name, check in checks(plugin, kind):
            marks = [pytest.mark.xfail(reason=reasons[name], strict=True)] if name in reasons else []
            cases.append(pytest.param(functools.partial(check, plugin), id=f"{label(plugin)}-{name}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def _check_all(plugin: Any, kind: str, expected_failures: Mapping[str, str] | None) -> None:
    expected, problems = dict(expected_failures or {}), []
    _known(expected, [name for name, _ in checks(plugin, kind)])
    for name, check in checks(plugin, kind):
        try:
            check(plugin)
        except Exception as error:
            if name not in expected:
                problems.append(f"{name}: {error if isinstance(error, AssertionError) else repr(error)}")
        else:
            if name in expected:
                problems.append(f"{name}: passed, but was expected to fail: {expected[name]}")
    if problems:
        raise AssertionError("\n".join(problems))


def _known(names: Iterable[str], legal: Sequence[str]) -> None:
    for name in names:
        if name not in legal:
            raise ValueError(f"expected_failures names {name!r}, which is none of {', '.join(legal)}")
