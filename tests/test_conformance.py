"""How the kit is used: on one sampler, in pytest, with failures that are known."""

import dataclasses
from typing import ClassVar

import pytest

from sigmabench.samplers import Euler, EulerAncestral, Heun
from sigmabench.samplers.conformance import accuracy
from sigmabench.samplers.testing import check_sampler, parametrize


@dataclasses.dataclass(frozen=True)
class EulerThatClaimsTooMuch:
    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, x, path, noise):
        return (yield from Euler()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class EulerWithUncond:
    """CFG++ without guidance: the noise is taken from the unconditional prediction."""

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("uncond",)

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0, uncond = yield x, s
            x = x0 * t.alpha + (x - uncond * s.alpha) * (t.sigma / s.sigma)
        return x


def test_an_error_message_says_which_settings_the_sampler_had():
    with pytest.raises(AssertionError, match=r"^EulerAncestral\(s_noise=2.0\): "):
        accuracy.check_moments(EulerAncestral(s_noise=2.0))


def test_check_sampler_lists_every_failure_with_the_name_of_its_check():
    @dataclasses.dataclass(frozen=True)
    class HeunThatClaimsTooLittle(EulerThatClaimsTooMuch):
        order: ClassVar[int] = 1

        def __call__(self, x, path, noise):
            return (yield from Heun()(x, path, noise))

    with pytest.raises(AssertionError) as caught:
        check_sampler(HeunThatClaimsTooLittle())
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["check_evaluations", "check_order"]


def test_an_expected_failure_is_not_an_error():
    check_sampler(EulerThatClaimsTooMuch(), {"check_order": "it is Euler"})


def test_an_expected_failure_that_passes_is_an_error():
    with pytest.raises(AssertionError, match="check_dtype: passed, but was expected to fail: because"):
        check_sampler(Euler(), {"check_dtype": "because"})


def test_an_expected_failure_of_an_unknown_check_or_sampler_is_refused():
    with pytest.raises(ValueError, match=r"names 'check_oder', which is none of .*check_order"):
        check_sampler(Euler(), {"check_oder": "typo"})
    with pytest.raises(ValueError, match="names 'Eular', which is none of Euler"):
        parametrize([Euler()], {"Eular": {"check_order": "typo"}})


@parametrize([EulerThatClaimsTooMuch()], {"EulerThatClaimsTooMuch": {"check_order": "it is Euler"}})
def test_a_plugin_tests_itself_in_two_lines(check):
    check()


def test_a_sampler_that_needs_a_branch_is_given_one():
    check_sampler(EulerWithUncond())
