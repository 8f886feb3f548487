"""Open registries: the alternatives of one kind of part, from this package and from anybody's.

A registry knows its members by a short name, their `kind`. The built-in modules are imported when the
registry is first looked into; packages that are installed beside this one join by an entry point of its group

    [project.entry-points."regard.masks"]
    dilated = "my_package:Dilated"

or, in a program, by the decorator `register`, which finds the registry by the base class. A configuration
names the base class as a field's type, and means whatever is registered. A registry does not know what its
members do.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from regard.errors import ConfigError

_Member = TypeVar("_Member")
_LOG = logging.getLogger(__name__)
REGISTRIES: dict[str, Registry[Any]] = {}
"""Every registry that has been made, by name."""


class Registry(Mapping[str, _Member]):
    """Members by their names, in the order in which they joined.

    name: what the members are, in the plural; the group of the entry points is `regard.{name}`. modules:
    where the built-in members are. base: the class of which they are subclasses. options: the base class of
    what each is configured by, which hangs on it as `Config`, where that is another class. attribute: what of
    a member is its name. check: raises ConfigError for one that lacks something: nothing incomplete joins.
    """

    def __init__(
        self,
        name: str,
        *modules: str,
        base: type | None = None,
        options: type | None = None,
        attribute: str = "kind",
        check: Callable[[_Member], None] = lambda member: None,
    ) -> None:
        self.name, self.base, self.options = name, base, options
        self._modules, self._attribute, self._check = modules, attribute, check
        self._members: dict[str, _Member] = {}
        self._complete = False
        REGISTRIES[name] = self

    def register(self, member: _Member) -> _Member:
        """Add `member`, and return it: a decorator.

        Raises: ConfigError for one without a name, with the name of another, or that is incomplete.
        """
        kind, origin = getattr(member, self._attribute, None), _origin(member)
        if not isinstance(kind, str) or not kind:
            sentence = "{where} has no {key}, the name by which it is found among the {registry}"
            raise ConfigError(sentence, origin, self._attribute, self.name)
        other = _origin(self._members.get(kind, member))
        if other != origin:  # the same again is a module that was loaded again
            raise ConfigError("the {registry} have a '{key}' already, {where}", self.name, kind, other)
        self._check(member)
        self._members[kind] = member
        return member

    def _load(self) -> dict[str, _Member]:
        """All members, once everything that may bring some has been imported."""
        if not self._complete:
            self._complete = True  # first, since the modules may look in here
            for module in self._modules:
                import_module(module)
            for point in _installed().select(group=f"regard.{self.name}"):
                try:
                    self.register(point.load())
                except Exception as error:  # a package of somebody else's must not take ours down
                    _LOG.warning(
                        "%s %r of an installed package cannot be used: %s", self.name, point.name, error
                    )
            places = {name: place for place, name in enumerate(self._modules)}
            order = sorted(
                self._members.items(),
                key=lambda one: places.get(getattr(one[1], "__module__", ""), len(places)),
            )
            self._members = dict(order)  # whichever was imported first
        return self._members

    def __getitem__(self, kind: str) -> _Member:
        return self._members[kind] if kind in self._members else self._load()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())


def register(member: _Member) -> _Member:
    """Add a class to the registry of its base class, and return it: a decorator.

    Raises: ConfigError for one of no registry's base, and whatever that registry refuses.
    """
    for registry in REGISTRIES.values():
        if registry.base is not None and isinstance(member, type) and issubclass(member, registry.base):
            return registry.register(member)
    bases = ", ".join(registry.base.__name__ for registry in REGISTRIES.values() if registry.base)
    raise ConfigError(
        "{where} joins no registry; it must be a subclass of one of {limit}", _origin(member), bases
    )


def members_of(base: object) -> tuple[Any, ...] | None:
    """What a configuration may name in the place of a base class: all that is registered under it, or the
    `Config` of each; None for whatever is no registry's base."""
    for registry in REGISTRIES.values():
        if base is not None and base is registry.base:
            return tuple(registry.values())
        if base is not None and base is registry.options:
            return tuple(member.Config for member in registry.values())
    return None


def installed(name: str) -> list[str]:
    """What installed packages call their members of a registry, of which none is imported."""
    return [point.name for point in _installed().select(group=f"regard.{name}")]


_installed = functools.cache(entry_points)  # a walk over all packages that are installed


def _origin(member: object) -> str:
    return f"{getattr(member, '__module__', '?')}.{getattr(member, '__qualname__', member)}"
