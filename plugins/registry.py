"""The catalogue of everything registered, and plugins built from their names.

catalogue("sampler")                          name -> Entry
build("sampler", "dpmpp_2m_sde(eta=0.5)")     an instance
describe("sampler", instance)                 the text it is built from
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

import pluggy

from . import hookspecs
from .door import PluginError, check_entry
from .expression import Call, format_call, parse

BUILTIN = "builtin"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One registered class and where it came from."""

    kind: str
    name: str
    cls: type
    plugin: str
    version: str

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names by which other hosts know it, such as ``DPMSolverMultistepScheduler``, variants included."""
        return (*getattr(self.cls, "aliases", ()), *self.variants)

    @property
    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """Names that stand for it with certain settings: ``rk38_4s`` for ``runge_kutta(method=rk38)``."""
        return getattr(self.cls, "variants", {})

    @property
    def summary(self) -> str:
        """The first sentence of its documentation."""
        return (self.cls.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


class UnknownName(ValueError):  # noqa: N818
    """A name that is not in the catalogue; the message has the nearest ones and the list."""


def catalogue(kind: str) -> Mapping[str, Entry]:
    """All entries of a kind (one of ``hookspecs.KINDS``), by name, in order of registration."""
    return _collect(kind)


def find(kind: str, name: str) -> Entry:
    """The entry of that name.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    entries = catalogue(kind)
    if name in entries:
        return entries[name]
    for entry in entries.values():
        if name in entry.aliases:
            return entry
    near = difflib.get_close_matches(name, entries, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise UnknownName(f"unknown {kind} {name!r}{hint} Known: {', '.join(entries)}")


def build(kind: str, text: str) -> Any:
    """The plugin that ``text`` names: a bare name, or a call with settings such as ``cfg(3)`` or ``karras(rho=5)``.

    Raises:
        UnknownName: for a name that is not registered.
        ValueError, TypeError: for a malformed text, an unknown setting or an illegal value, naming the legal ones.
    """
    return _instantiate(kind, parse(text))


def describe(kind: str, instance: Any) -> str:
    """The shortest text that builds an equal instance; equal settings give equal texts."""
    name = next((name for name, entry in catalogue(kind).items() if entry.cls is type(instance)), None)
    if name is None:
        raise UnknownName(f"{type(instance).__name__} is not registered as a {kind}")
    changed = {}
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if value != field.default:
            nested = field.metadata.get("kind")
            changed[field.name] = parse(describe(nested, value)) if nested else value
    return format_call(Call(name, (), changed))


def entries_in(kind: str, text: str) -> Iterator[Entry]:
    """The entry that ``text`` names and those of the plugins nested in its settings."""
    return _entries_of(kind, build(kind, text))


def _entries_of(kind: str, instance: Any) -> Iterator[Entry]:
    yield next(entry for entry in catalogue(kind).values() if entry.cls is type(instance))
    for field in dataclasses.fields(instance):
        nested, value = field.metadata.get("kind"), getattr(instance, field.name)
        if nested and value is not None:
            yield from _entries_of(nested, value)


def _instantiate(kind: str, call: Call) -> Any:
    entry = find(kind, call.name)
    fields = {field.name: field for field in dataclasses.fields(entry.cls)}
    if len(call.positional) > len(fields):
        raise ValueError(f"{call.name} takes {len(fields)} settings, got {len(call.positional)}")
    named = dict(zip(fields, call.positional, strict=False))
    for name, value in call.named.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(fields) or "it has none"
            raise ValueError(f"{call.name} has no setting {name!r}{hint} Settings: {known}")
        if name in named:
            raise ValueError(f"{call.name}: {name!r} is given twice")
        named[name] = value
    chosen = {**entry.variants.get(call.name, {}), **named}
    return entry.cls(**{name: _value(fields[name], value) for name, value in chosen.items()})


def _value(field: dataclasses.Field[Any], value: Any) -> Any:
    nested = field.metadata.get("kind")
    if nested and value is not None:
        return _instantiate(nested, value if isinstance(value, Call) else Call(str(value)))
    if isinstance(value, Call):
        return value.name if not (value.positional or value.named) else format_call(value)
    if isinstance(value, int) and not isinstance(value, bool) and isinstance(field.default, float):
        return float(value)
    return value


@lru_cache(maxsize=1)
def manager() -> pluggy.PluginManager:
    """The plugin manager with the built-ins and every installed plugin."""
    plugins = pluggy.PluginManager(hookspecs.PROJECT)
    plugins.add_hookspecs(hookspecs)
    from . import builtin

    plugins.register(builtin, BUILTIN)
    for point in entry_points(group=hookspecs.PROJECT):
        if point.name != BUILTIN:
            _register(plugins, point)
    return plugins


def _register(plugins: pluggy.PluginManager, point: Any) -> None:
    try:
        plugins.register(point.load(), f"{point.name} {point.dist.version}" if point.dist else point.name)
    except Exception as error:
        raise PluginError(
            f"plugin {point.name!r} ({point.value}) cannot be imported: {error}; update or uninstall its package"
        ) from error


@lru_cache(maxsize=len(hookspecs.KINDS))
def _collect(kind: str) -> dict[str, Entry]:
    """One kind at a time, so that naming a sampler does not import what backends import."""
    entries: dict[str, Entry] = {}
    implementations = getattr(manager().hook, hookspecs.HOOKS[kind]).get_hookimpls()
    for implementation in sorted(implementations, key=lambda i: (i.plugin_name != BUILTIN, i.plugin_name)):
        plugin, _, version = implementation.plugin_name.partition(" ")

        def register(name: str, cls: type, plugin: str = plugin, version: str = version) -> None:
            check_entry(kind, name, cls, plugin)
            entry = Entry(kind, name, cls, plugin, version)
            _refuse_duplicates(entries, entry)
            entries[name] = entry

        implementation.function(register)
    return entries


def _refuse_duplicates(entries: Mapping[str, Entry], entry: Entry) -> None:
    for known in entries.values():
        shared = {known.name, *known.aliases} & {entry.name, *entry.aliases}
        if shared:
            raise PluginError(
                f"{entry.kind} {min(shared)!r} is registered by both {known.plugin!r} and {entry.plugin!r}; "
                "rename one or uninstall its package"
            )


def refresh() -> None:
    """Forget what is registered, so that plugins installed or registered since are seen."""
    _collect.cache_clear()
