"""`dataclass` as in the standard library, without its cost when a program is imported.

The standard library's `dataclass` imports `inspect`, which imports a dozen modules, and compiles each method of each
class separately. Here the methods of a class are compiled together, and only when one of them is first used. The
metadata of a dataclass (for `fields`, `replace`, `asdict`) is made by the standard library when it is first needed.
Type checkers see the standard library's own `dataclass`.

Only the options that we use exist: all classes have slots, and no field has a `default_factory`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from types import ModuleType
    from typing import Any

__all__ = ["dataclass", "field"]

_MISSING = object()


class _Field:
    """The arguments of one call of `field`."""

    def __init__(self, *, default: Any = _MISSING, **options: bool) -> None:
        self.default = default
        self.options = options

    def has(self, option: str) -> bool:
        return self.options.get(option, option != "kw_only")


def _dataclass(*, slots: bool, **options: bool) -> Any:
    assert slots
    return lambda bare: _make_dataclass(bare, options)


if not TYPE_CHECKING:
    dataclass, field = _dataclass, _Field


def _make_dataclass(bare: type, options: dict[str, bool]) -> Any:
    body = dict(bare.__dict__)
    own = {name: body.pop(name, _MISSING) for name in bare.__annotations__}
    fields = dict(getattr(bare, "_all_fields", {}))
    new = tuple([name for name in own if name not in fields])
    for name, value in own.items():
        fields[name] = value if isinstance(value, _Field) else _Field(default=value)
        if options.get("kw_only"):
            fields[name].options["kw_only"] = True
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    later: dict[str, Any] = {name: _LazyAttribute(options, own) for name in _names(options) if name not in body}
    if options.get("eq", True) and not options.get("frozen"):
        later.setdefault("__hash__", None)
    body |= {"__slots__": new, "_all_fields": fields, "__qualname__": bare.__qualname__, **later}
    places = [name for name, each in fields.items() if each.has("init") and not each.has("kw_only")]
    body["__match_args__"] = tuple(places)
    return type(bare)(bare.__name__, bare.__bases__, body)


def _names(options: dict[str, bool]) -> list[str]:
    """Return the names of the attributes that are made on first use."""
    names = ["__dataclass_fields__", "__dataclass_params__", "__replace__"]
    names += [f"__{name}__" for name in ("init", "repr", "eq") if options.get(name, True)]
    if options.get("frozen"):
        names += ["__setattr__", "__delattr__", "__getstate__", "__setstate__"]
        names += ["__hash__"] if options.get("eq", True) else []
    return names


class _LazyAttribute:
    """A placeholder for a class attribute until it is first read. Then all methods, or all the metadata, are made.

    Most programs never make a record of a trace, and compiling the methods is the largest part of the cost.
    """

    def __init__(self, options: dict[str, bool], own: dict[str, Any]) -> None:
        self._options = options
        self._own = own

    def __set_name__(self, made: Any, name: str) -> None:
        self._made = made
        self._name = name

    def __get__(self, instance: object, owner: Any = None) -> Any:
        made = self._made
        if self._name.startswith("__dataclass_"):
            _register_as_dataclass(made, self._options, self._own)
        else:
            for function in _functions(made, made._all_fields, self._options):
                # Do not replace a method of the class itself, nor one that another thread has made meanwhile.
                if isinstance(made.__dict__.get(function.__name__), _LazyAttribute):
                    function.__qualname__ = f"{made.__qualname__}.{function.__name__}"
                    setattr(made, function.__name__, function)
        found = made.__dict__[self._name]
        bind = getattr(type(found), "__get__", None)
        return found if bind is None else bind(found, instance, owner)


# The methods.


def _functions(made: Any, fields: dict[str, _Field], options: dict[str, bool]) -> list[Any]:
    frozen, eq = options.get("frozen", False), options.get("eq", True)
    texts = []
    if options.get("init", True):
        texts.append(_init(made, fields, frozen))
    if eq:
        texts.append(_EQ.format(*(_tuple(owner, fields, "compare") for owner in ("self", "other"))))
    if eq and frozen:
        texts.append(f"def __hash__(self):\n return hash({_tuple('self', fields, 'compare', 'hash')})")
    defaults = {f"_d_{name}": each.default for name, each in fields.items()}
    found: dict[str, Any] = {}
    space = {"__name__": made.__module__, "_set": object.__setattr__, **defaults}
    exec("\n".join(texts), space, found)  # noqa: S102 - as the standard library does
    if "__init__" in found:
        types = {name: _annotation(made, name) for name, each in fields.items() if each.has("init")}
        found["__init__"].__annotations__ = {**types, "return": None}
    return [
        *found.values(),
        *([_repr(fields)] if options.get("repr", True) else []),
        *(_frozen(made, tuple(fields)) if frozen else []),
        _replace(),
    ]


_EQ = "def __eq__(self, other):\n return {} == {} if other.__class__ is self.__class__ else NotImplemented"


def _init(made: Any, fields: dict[str, _Field], frozen: bool) -> str:
    taken = {name: each for name, each in fields.items() if each.has("init")}
    texts = {name: name if each.default is _MISSING else f"{name}=_d_{name}" for name, each in taken.items()}
    usual = [text for name, text in texts.items() if not taken[name].has("kw_only")]
    named = [text for name, text in texts.items() if taken[name].has("kw_only")]
    act = " _set(self, {0!r}, {0})" if frozen else " self.{0} = {0}"
    lines = [act.format(name) for name in taken]
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    arguments = ["self", *usual, *(["*", *named] if named else [])]
    return "\n".join([f"def __init__({', '.join(arguments)}):", *(lines or [" pass"])])


def _tuple(owner: str, fields: dict[str, _Field], *options: str) -> str:
    names = [name for name, each in fields.items() if all(map(each.has, options))]
    return "(" + "".join([f"{owner}.{name}, " for name in names]) + ")"


def _annotation(made: Any, name: str) -> Any:
    note = next(each.__annotations__[name] for each in made.__mro__ if name in getattr(each, "__annotations__", ()))
    return getattr(note, "__forward_arg__", note)


def _repr(fields: dict[str, _Field]) -> Any:
    names = [name for name, each in fields.items() if each.has("repr")]

    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    return __repr__


def _dataclasses() -> ModuleType:
    import dataclasses  # only for the error, a copy, and code that reads the fields: it imports `inspect`

    return dataclasses


def _frozen(made: Any, names: tuple[str, ...]) -> list[Any]:
    def refuse(self: object, name: str, what: str) -> None:
        raise _dataclasses().FrozenInstanceError(f"cannot {what} field {name!r}")

    def __setattr__(self: object, name: str, value: object) -> None:
        if type(self) is made or name in names:
            refuse(self, name, "assign to")
        super(made, self).__setattr__(name, value)

    def __delattr__(self: object, name: str) -> None:
        if type(self) is made or name in names:
            refuse(self, name, "delete")
        super(made, self).__delattr__(name)

    def __getstate__(self: object) -> list[Any]:
        return [getattr(self, name) for name in names]

    def __setstate__(self: object, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return [__setattr__, __delattr__, __getstate__, __setstate__]


def _replace() -> Any:
    def __replace__(self: Any, /, **changes: Any) -> Any:
        """For `copy.replace`."""
        return _dataclasses().replace(self, **changes)

    return __replace__


# The metadata for the standard library.


def _register_as_dataclass(made: Any, options: dict[str, bool], own: dict[str, Any]) -> None:
    """Set the attributes by which `dataclasses` recognises its classes, copied from a dataclass with equal fields."""
    dataclasses = _dataclasses()
    given = {name: _given(dataclasses.field, value) for name, value in own.items() if value is not _MISSING}
    body = {
        **given,
        "__annotations__": {name: _annotation(made, name) for name in made.__annotations__},
        "__module__": made.__module__,
        "__doc__": "",
    }
    chosen: Any = {"slots": False, **options}
    twin: Any = dataclasses.dataclass(**chosen)(type(made.__name__, made.__bases__, body))
    for name in ("__dataclass_fields__", "__dataclass_params__"):
        setattr(made, name, getattr(twin, name))


def _given(field: Any, value: Any) -> Any:
    if not isinstance(value, _Field):
        return value
    default = {} if value.default is _MISSING else {"default": value.default}
    return field(**default, **value.options)
