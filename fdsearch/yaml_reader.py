"""Hostile YAML to plain values: capped, without aliases, tags, repeated keys or non-finite numbers.

PyYAML's safe loader stops code, not the rest, hence the subclass; no library of this kind refuses aliases and lists all
repeated keys with their paths.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from fdsearch.errors import ConfigError, Fault

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
"""Levels of nesting. A study has six; PyYAML's time grows with the square of the depth, minutes for 20 KB of ``[``."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats: `1e-3` is a number here, not a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)$|^[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.)$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> Any:
    """Read a YAML file into plain values.

    Raises
    ------
    ConfigError
        If the file is missing, over 1 MB, not YAML, or holds an alias, a tag, a repeated key or a non-finite number.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        fault = Fault(str(path), error.strerror or str(error), "a readable YAML file", "check the path")
        raise ConfigError("the file cannot be read", [fault]) from error
    return parse_yaml(content, str(path))


def parse_yaml(content: bytes, where: str) -> Any:
    """Read YAML bytes into plain values; faults as in `read_yaml`."""
    if len(content) > MAX_BYTES:
        raise ConfigError(
            "the file is too large", [Fault(where, "over 1 MB", "at most 1 MB", "keep tables in CSV files")]
        )
    try:
        text = content.decode("utf-8-sig")
        _refuse_bombs(text, where)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            faults = [] if node is None else _node_faults(node, where, "$")
            if faults:
                raise ConfigError("the YAML has faults", faults)
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not text", [Fault(where, str(error), "UTF-8", "save it as UTF-8")]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        problem = str(getattr(error, "problem", None) or error)
        raise ConfigError(
            "the file is not valid YAML", [Fault(place, problem, "plain YAML", "mend this line")]
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "the YAML cannot be read", [Fault(where, str(error)[:200], "plain values", "mend it")]
        ) from error
    return value


def _refuse_bombs(text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            place = f"{where}, line {event.start_mark.line + 1}" if event.start_mark else where
            fault = Fault(place, f"more than {MAX_DEPTH} levels", "values that are less nested", "write them flat")
            raise ConfigError("the YAML is nested too deeply", [fault])
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            place = f"{where}, line {event.start_mark.line + 1}" if event.start_mark else where
            fault = Fault(
                place, "an anchor or alias (& or *)", "every value written out", "write the value where it is used"
            )
            raise ConfigError("YAML aliases are not allowed", [fault])


def _node_faults(node: yaml.Node, where: str, path: str) -> list[Fault]:
    faults: list[Fault] = []
    line = f"{where}: {path}"
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        return [Fault(line, f"the tag {node.tag}", "plain YAML values", "remove the tag: files cannot run code")]
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen:
                place = f"{where}: {path}.{name}"
                faults.append(
                    Fault(place, f"the key again in line {key.start_mark.line + 1}", "each key once", "remove one")
                )
            if name == "<<" or not isinstance(key, yaml.ScalarNode):
                faults.append(
                    Fault(f"{where}: {path}.{name}", "a merged or composite key", "a plain key", "write it out")
                )
            seen.add(name)
            faults += _node_faults(value, where, f"{path}.{name}")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            faults += _node_faults(value, where, f"{path}[{index}]")
    elif node.tag == "tag:yaml.org,2002:float":
        try:
            finite = math.isfinite(float(node.value.replace("_", "")))
        except ValueError:
            finite = False
        if not finite:
            faults.append(Fault(line, node.value, "a finite number", "write a number"))
    return faults
