"""Find state dicts in what was saved, however deep they lie and whatever wraps their keys.

Training code wraps networks (`torch.compile` puts `_orig_mod.` into the keys, DataParallel
`module.`), keeps their state dicts in a dictionary of its own (`{"state_dict": ...}`), or makes one
state dict of all of them (`kp_detector.fg_encoder.conv1.weight`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tpsm_jax.checkpoints.torch.records import Opaque
from tpsm_jax.errors import InputError, shown

State = Mapping[str, Any]

_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_MAX_LEVELS = 4  # of dictionaries around a state dict
_NAMES_SHOWN = 3


class Located(NamedTuple):
    """A dictionary of what was saved, and the keys that lead to it."""

    entries: dict[Any, Any]
    place: tuple[Any, ...]


class Networks(NamedTuple):
    """The networks of a checkpoint.

    Attributes:
      states: network -> its state dict, with keys as the official code has them.
      place: the entry of the file that holds them; "" where they lie at the top.
      others: everything else in the file, by name.
    """

    states: dict[str, State]
    place: str
    others: dict[str, Any]


def plain_key(key: object) -> str:
    """Drops the names that wrapped modules add: "module.conv._orig_mod.bias" -> "conv.bias"."""
    return ".".join(part for part in str(key).split(".") if part not in _WRAPPERS)


def plain_keys(state: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """Drops such names from every key of a dictionary.

    Args:
      state: any dictionary of the file.
      name: how to call it in a message.

    Raises:
      InputError: if two keys become one.
    """
    plain = {plain_key(key): value for key, value in state.items()}
    if len(plain) < len(state):
        raise InputError(
            f"{name} holds entries twice, with and without `module.` or `_orig_mod.`: save it with "
            "one of them"
        )
    return plain


def locate(tree: Any, holds: Callable[[dict[Any, Any]], bool], what: str) -> Located | None:
    """Finds the dictionary that holds what is looked for, the outermost one.

    Args:
      tree: what was saved.
      holds: whether a dictionary is the one.
      what: words for what is looked for, for the message.

    Returns:
      None if there is none.

    Raises:
      InputError: if several at the same depth hold it.
    """
    level = [Located(tree, ())] if isinstance(tree, dict) else []
    seen = {id(tree)}
    for _ in range(_MAX_LEVELS):
        found = [located for located in level if holds(located.entries)]
        if len(found) > 1:
            names = ", ".join(_path(located.place) for located in found[:_NAMES_SHOWN])
            key = "".join(f"['{shown(str(part))}']" for part in found[0].place)
            raise InputError(
                f"{what} in several of its entries ({names}): keep one of them, by "
                f"`torch.save(torch.load(FILE){key}, OTHER_FILE)`"
            )
        if found:
            return found[0]
        level = list(_inner(level, seen))
    return None


def beside(tree: Any, place: Iterable[Any]) -> dict[str, Any]:
    """Lists the entries next to a place and next to every dictionary around it, by name."""
    others: dict[str, Any] = {}
    above: tuple[Any, ...] = ()
    for key in place:
        others |= {_path((*above, name)): tree[name] for name in tree if name != key}
        tree, above = tree[key], (*above, key)
    return others


def find_networks(checkpoint: Any, names: Collection[str]) -> Networks | None:
    """Finds the state dicts of networks.

    Args:
      checkpoint: what was saved.
      names: names of the networks that the config describes.

    Returns:
      None if there is none of them.

    Raises:
      InputError: if it cannot be said which state dict is meant, or if a network is saved as an
        object that is not read.
    """

    def holds(entries: dict[Any, Any]) -> bool:
        return any(
            _is_nested(key, value, names) or _is_flat(key, value, names)
            for key, value in entries.items()
        )

    located = locate(checkpoint, holds, "there are networks")
    if located is None:
        return None
    entries, place = located
    others = beside(checkpoint, place)
    nested = {key: value for key, value in entries.items() if _is_nested(key, value, names)}
    if nested:
        states = {
            name: _state_dict(name, value, others)
            for name, value in plain_keys(nested, "the checkpoint").items()
        }
        others |= {_path((*place, key)): entries[key] for key in entries if key not in nested}
    else:
        used, states = _split_by_network(entries, names)
        for key in entries:
            if key not in used:
                others[_path((*place, str(key).split(".")[0]))] = entries[key]
    return Networks(states, _path(place), others)


def entries_of(checkpoint: Any) -> str:
    """Words for what is in a file that lacks what is looked for, to put behind a message."""
    if not isinstance(checkpoint, dict):
        return f" (it is {shown(checkpoint)}, not a dictionary)"
    opaque = [key for key, value in checkpoint.items() if isinstance(value, Opaque)]
    whole = f"; {_saved_whole(str(opaque[0]), checkpoint[opaque[0]])}" if opaque else ""
    names = [shown(str(key)) for key in list(checkpoint)[:_NAMES_SHOWN]]
    dots = ", ..." if len(checkpoint) > len(names) else ""
    return f" (its entries: {', '.join(names)}{dots}){whole}"


def listed(others: Mapping[str, Any], training_state: Collection[str] = ()) -> tuple[str, ...]:
    """Lists entries that are not imported, each with the names of objects that were not read in it.

    Args:
      others: entries by name.
      training_state: names to leave out, unless there is such an object.
    """
    kinds = {name: _opaque_names(value) for name, value in others.items()}
    return tuple(
        f"{name} ({', '.join(map(shown, kinds[name]))})" if kinds[name] else name
        for name in others
        if kinds[name] or name not in training_state
    )


def _opaque_names(tree: Any) -> list[str]:
    names: dict[str, None] = {}
    todo, seen = [tree], set()
    while todo and len(names) < _NAMES_SHOWN:
        value = todo.pop()
        if isinstance(value, Opaque):
            names[value.name] = None
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            todo += reversed(list(value.values() if isinstance(value, dict) else value))
    return list(names)


def _saved_whole(name: str, value: Opaque) -> str:
    name = shown(name)
    return (
        f"{name} is a {shown(value.name)}, which is not read: save the tensors alone, as "
        f"{name}.state_dict()"
    )


def _path(keys: Iterable[Any]) -> str:
    return ".".join(shown(str(key)) for key in keys)


def _inner(level: list[Located], seen: set[int]) -> Iterator[Located]:
    for entries, place in level:
        for key, value in entries.items():
            # A small file can hold one dictionary again and again.
            if isinstance(value, dict) and id(value) not in seen:
                seen.add(id(value))
                yield Located(value, (*place, key))


def _is_nested(key: object, value: object, names: Collection[str]) -> bool:
    return isinstance(value, (dict, Opaque)) and plain_key(key) in names


def _is_flat(key: object, value: object, names: Collection[str]) -> bool:
    is_tensor = isinstance(value, (np.ndarray, Opaque))
    return is_tensor and not set(str(key).split(".")[:-1]).isdisjoint(names)


def _state_dict(network: str, value: Any, others: dict[str, Any]) -> State:
    """Unpacks dictionaries around a state dict; their other entries go to `others`."""
    for _ in range(_MAX_LEVELS):
        if isinstance(value, Opaque):
            raise InputError(_saved_whole(network, value))
        inner = [key for key, entry in value.items() if isinstance(entry, (dict, Opaque))]
        if len(inner) != 1 or any(isinstance(entry, np.ndarray) for entry in value.values()):
            break
        others |= {_path((network, key)): value[key] for key in value if key != inner[0]}
        value = value[inner[0]]
    return plain_keys(value, network)


def _split_by_network(
    entries: dict[Any, Any], names: Collection[str]
) -> tuple[dict[Any, Any], dict[str, State]]:
    """Splits one state dict of several networks; returns the entries that it took, too."""
    used: dict[Any, Any] = {}
    states: dict[str, dict[Any, Any]] = {}
    prefixes = set()
    for key, value in entries.items():
        if _is_flat(key, value, names):
            parts = str(key).split(".")
            start = next(i for i, part in enumerate(parts) if part in names)
            prefixes.add(plain_key(".".join(parts[:start])))
            states.setdefault(parts[start], {})[".".join(parts[start + 1 :])] = value
            used[key] = value
    if len(prefixes) > 1:
        listed = ", ".join(sorted(map(shown, prefixes))[:_NAMES_SHOWN])
        raise InputError(
            f"names of networks stand after several prefixes in its keys ({listed}): save a "
            "dictionary of each network's state_dict()"
        )
    return used, {name: plain_keys(state, name) for name, state in states.items()}
