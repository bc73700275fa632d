"""The registry: the door, names, and plugins as text."""

import dataclasses

import pytest

from sigmabench.plugins import hookimpl, hookspecs, registry
from sigmabench.plugins.door import PluginError
from sigmabench.samplers.settings import setting, settings


@pytest.fixture
def stranger():
    """Register a throw-away plugin module and forget it afterwards."""
    added = []

    def add(**hooks):
        plugin = type("Stranger", (), {name: staticmethod(hookimpl(function)) for name, function in hooks.items()})()
        registry.manager().register(plugin, "stranger 1.2")
        added.append(plugin)
        registry.refresh()

    try:
        yield add
    finally:
        for plugin in added:
            registry.manager().unregister(plugin)
        registry.refresh()


def good_sampler():
    @settings
    class Still:
        """Does nothing. arXiv:2006.11239."""

        pull: float = setting(0.5, low=0.0, high=1.0)
        order = 1
        stochastic = False
        evaluations = 1
        needs = ()

        def __call__(self, x, path, noise):
            for s, _ in path:
                x, _x0 = yield x, s
            return x

    return Still


def test_a_stranger_enters_by_the_same_door_and_carries_its_version(stranger):
    stranger(register_samplers=lambda register: register("still", good_sampler()))
    entry = registry.find("sampler", "still")
    assert (entry.plugin, entry.version) == ("stranger", "1.2")
    assert registry.build("sampler", "still(pull=0.25)").pull == 0.25


def test_a_duplicate_name_is_an_error_that_names_both_plugins(stranger):
    stranger(register_samplers=lambda register: register("euler", good_sampler()))
    with pytest.raises(PluginError, match="'euler' is registered by both 'builtin' and 'stranger'"):
        registry.catalogue("sampler")


def test_a_plugin_nested_in_settings_is_among_those_a_text_depends_on(stranger):
    stranger(register_samplers=lambda register: register("still", good_sampler()))
    found = [(entry.name, entry.version) for entry in registry.entries_in("sampler", "churn(sampler=still)")]
    assert found == [("churn", ""), ("still", "1.2")]


def test_an_alias_finds_the_plugin_and_its_own_name_stays_the_text(stranger):
    cls = good_sampler()
    cls.aliases = ("StillScheduler",)
    stranger(register_samplers=lambda register: register("still", cls))
    built = registry.build("sampler", "StillScheduler(pull=0.25)")
    assert registry.describe("sampler", built) == "still(pull=0.25)"


def test_a_variant_stands_for_the_plugin_with_its_settings(stranger):
    cls = good_sampler()
    cls.variants = {"stiller": {"pull": 0.25}}
    stranger(register_samplers=lambda register: register("still", cls))
    assert registry.describe("sampler", registry.build("sampler", "stiller")) == "still(pull=0.25)"
    assert registry.build("sampler", "stiller(pull=0.75)").pull == 0.75


def test_an_alias_that_is_taken_is_an_error_that_names_both_plugins(stranger):
    cls = good_sampler()
    cls.aliases = ("euler",)
    stranger(register_samplers=lambda register: register("still", cls))
    with pytest.raises(PluginError, match="'euler' is registered by both 'builtin' and 'stranger'"):
        registry.catalogue("sampler")


def not_frozen():
    return dataclasses.make_dataclass("Melting", [("a", int, 1)])


def no_default():
    return dataclasses.make_dataclass("Bare", ["a"], frozen=True)


def not_a_generator():
    cls = good_sampler()
    cls.__call__ = lambda self, x, path, noise: x
    return cls


def without(part):
    def make():
        cls = good_sampler()
        if part == "doc":
            cls.__doc__ = "Does nothing."
        else:
            delattr(cls, part)
        return cls

    return make


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("Bad-Name", good_sampler, r"must match \[a-z0-9_\]\+"),
        ("x", lambda: object, "must be a frozen dataclass"),
        ("x", not_frozen, "the dataclass must be frozen"),
        ("x", no_default, "field 'a' needs a default"),
        ("x", not_a_generator, "must be a generator function"),
        ("x", without("order"), "class attribute 'order' is missing"),
        ("x", without("doc"), "must name its source"),
    ],
)
def test_the_door_says_what_to_change(stranger, name, make, message):
    stranger(register_samplers=lambda register: register(name, make()))
    with pytest.raises(PluginError, match=message) as caught:
        registry.catalogue("sampler")
    assert "'stranger'" in str(caught.value)


def test_an_unknown_name_answers_with_the_nearest_and_the_list():
    with pytest.raises(registry.UnknownName, match="did you mean 'dpmpp_2m'") as caught:
        registry.build("sampler", "dpmpp2m")
    assert "euler_ancestral" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("sampler", "euler(eta=1)", "euler has no setting 'eta'"),
        ("guidance", "cfg(scal=3)", "did you mean 'scale'"),
        ("guidance", "cfg(3, scale=4)", "'scale' is given twice"),
        ("guidance", "cfg(1, 2)", "cfg takes 1 settings, got 2"),
        ("guidance", "cfg(-1)", "0 <= scale <= 1000"),
        ("sampler", "dpmpp_2m_sde(solver=foo)", "must be one of 'midpoint', 'heun'"),
        ("schedule", "linear(timesteps=2.5)", "must be an integer"),
        ("schedule", "zero_terminal_snr(schedule=liner)", "did you mean 'linear'"),
        ("sampler", "euler(", "write a name, or a call"),
        ("sampler", "3", "expected a name"),
        ("sampler", "__import__('os').system('true')", "write a name, or a call"),
        ("guidance", "cfg(scale=print(1))", "must be a number"),
    ],
)
def test_bad_text_is_refused_with_the_legal_values(kind, text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        registry.build(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "shortest"),
    [
        ("sampler", "euler()", "euler"),
        ("sampler", "dpmpp_2m_sde(1.0, solver='heun')", "dpmpp_2m_sde(solver=heun)"),
        ("guidance", "cfg(3)", "cfg(scale=3)"),
        ("guidance", "cfg(7.5)", "cfg"),
        ("spacing", "karras(sigma_max=80)", "karras(sigma_max=80)"),
        ("schedule", "zero_terminal_snr(linear(beta_end=0.03))", "zero_terminal_snr(schedule=linear(beta_end=0.03))"),
        ("schedule", "zero_terminal_snr(scaled_linear)", "zero_terminal_snr"),
    ],
)
def test_equal_settings_have_one_text_that_builds_them_again(kind, text, shortest):
    instance = registry.build(kind, text)
    assert registry.describe(kind, instance) == shortest
    assert registry.build(kind, shortest) == instance


def test_every_hook_is_documented_and_every_kind_has_one():
    assert set(hookspecs.HOOKS) == set(hookspecs.KINDS)
    for hook in hookspecs.HOOKS.values():
        assert getattr(hookspecs, hook).__doc__


@pytest.mark.parametrize("kind", hookspecs.KINDS)
def test_every_built_in_builds_from_its_bare_name(kind):
    for name in registry.catalogue(kind):
        assert registry.describe(kind, registry.build(kind, name)) == name
