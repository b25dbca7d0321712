"""Checks a file of skops before skops reads it: its memory, and that skops could have written it.

Such a file is a zip archive. schema.json describes each object as a node, and the arrays are further members. skops makes sure
that all types are trusted. But it allocates as much memory as a file asks for, and it builds trusted types and calls trusted
functions in more ways than it ever writes.
"""

import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from fastbp.persistence.budget import Budget

SCHEMA = "schema.json"
PROTOCOLS = (2,)  # of skops 0.11 to 0.16
PER_ENTRY = 800  # most bytes in memory of an entry in the archive's table of contents
ENTRY = b"PK\x01\x02"  # the first bytes of an entry
# Nodes that may be built, with the most bytes of such a node and its object. Other nodes of skops (trees, bound methods, sparse
# matrices, numpy's new generators) are left out, because a forged one can crash the process or fill the memory.
NODES = {
    "BytesNode": 800, "BytearrayNode": 800, "DTypeNode": 1000, "DefaultDictNode": 1000, "DictNode": 800, "FunctionNode": 5000,
    "JsonNode": 500, "ListNode": 700, "LossNode": 2500, "MaskedArrayNode": 1500, "NdArrayNode": 1000, "ObjectNode": 5000,
    "RandomStateNode": 5000, "SetNode": 1000, "SliceNode": 800, "TupleNode": 700, "TypeNode": 1000,
}  # fmt: skip
# What nodes with the same number must share besides their type: all from which skops builds the object.
SAME = {"JsonNode": ("content",), "NdArrayNode": ("type", "file")}
# Most copies of a member's bytes that are in memory at the same time.
COPIES = {"NdArrayNode": 3, "BytesNode": 3, "BytearrayNode": 12}


class UntrustedError(ValueError):
    """An archive holds a type that must not be built."""


def check_archive(file: BinaryIO, size: int, loaders: Callable[[str], str | None]) -> None:
    """Raise ValueError for an archive that skops should not read.

    Parameters
    ----------
    file : binary file
        The archive.
    size : int
        Its size in bytes.
    loaders : callable
        Takes the name of a type or function and returns the only kind of node for it, or None if skops decides.
    """
    budget = Budget(size)
    budget.spend(PER_ENTRY * _n_entries(file))
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("two of its parts have the same name")
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members.values()):
            raise ValueError("its parts are compressed or encrypted: it was not written by fastbp")
        if sum(max(member.file_size, member.compress_size) for member in members.values()) > size:
            raise ValueError("its parts are larger than the file: it was not written by fastbp")
        schema = budget.parsed(archive.read(SCHEMA))
        if schema.get("protocol") not in PROTOCOLS or isinstance(schema["protocol"], bool):
            raise ValueError(f"it has the protocol {schema.get('protocol')!r:.40} of skops, which fastbp does not know")
        _Nodes(schema, archive, members).check(budget, loaders)


def _n_entries(file: BinaryIO) -> int:
    """Return an upper bound of the number of entries in an archive."""
    count, kept = 0, b""
    file.seek(0)
    while piece := file.read(2**20):
        count += (kept + piece).count(ENTRY)
        kept = (kept + piece)[1 - len(ENTRY) :]
    return count


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("__loader__"), str)


def _nodes_of(schema: Any) -> Iterator[dict[str, Any]]:
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            if _is_node(value):
                yield value
            elif "__id__" in value and not isinstance(value["__id__"], dict):  # skops would only look up this number
                raise ValueError("its schema refers to an object that it does not describe")
            left.extend(value.values())


class _Nodes:
    """All nodes of one archive."""

    def __init__(self, schema: Any, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
        self._archive, self._members = archive, members
        self._all = list(_nodes_of(schema))
        self._counts = Counter(node.get("__id__") for node in self._all)
        self._arrays: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

    def check(self, budget: Budget, loaders: Callable[[str], str | None]) -> None:
        """Raise ValueError for nodes that skops does not write, or beyond the budget."""
        names = {f"{node['__module__']}.{node['__class__']}" for node in self._all}
        of_trust = 8 * sum(loaders(name) is not None for name in names)  # each node has a list of trusted names
        known: dict[int, tuple[Any, ...]] = {}
        read: set[tuple[int, str]] = set()
        for node in self._all:
            loader, name = node["__loader__"], f"{node['__module__']}.{node['__class__']}"
            if loader not in NODES or (loaders(name) or loader) != loader:
                raise UntrustedError(name)
            number = node.get("__id__")
            if type(number) is not int or number == 0:
                raise ValueError("a node of its schema has no number")
            # Nodes with the same number are one object, which the first of them describes.
            what = loader, name, *(node.get(part) for part in SAME.get(loader, ()))
            if number not in known:
                budget.spend(NODES[loader] + of_trust)
                if loader == "JsonNode" and len(node["content"]) > 32:
                    budget.parsed(node["content"])
            if known.setdefault(number, what) != what:
                raise ValueError("two nodes of its schema have the same number")
            if loader in COPIES and "file" in node and (number, node["file"]) not in read:
                read.add((number, node["file"]))
                budget.spend(COPIES[loader] * self._members[node["file"]].file_size)
            if loader == "NdArrayNode" and node["type"] == "json":
                self._check_objects(node)
            elif loader == "NdArrayNode":
                self._check_array(node)
            elif loader == "MaskedArrayNode":
                self._require(all(node["content"][part]["__loader__"] == "NdArrayNode" for part in ("data", "mask")))
            elif loader == "RandomStateNode":
                self._require(self._is_array(node["content"]["content"]["state"]["content"]["key"]))
        if self._members.keys() - {SCHEMA, *(file for _, file in read)}:
            raise ValueError("nothing refers to some of its parts")

    def _require(self, is_right: bool) -> None:
        if not is_right:
            raise ValueError("its schema describes what skops does not write")

    def _is_array(self, node: Any) -> bool:
        return _is_node(node) and node["__loader__"] == "NdArrayNode" and node["type"] == "numpy"

    def _check_array(self, node: dict[str, Any]) -> None:
        """Check an array or a number of numpy: its size, and the dtype of a number."""
        self._require(node["type"] == "numpy")
        shape, dtype = self._array(node["file"])
        if node["__class__"] != "ndarray":
            kind = getattr(np, node["__class__"], None)
            is_number = isinstance(kind, type) and issubclass(kind, np.generic) and kind not in (np.void, np.object_)
            self._require(is_number and shape == () and np.dtype(kind).kind == dtype.kind)

    def _array(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return the shape and dtype of an array in the archive, of which only the header is read."""
        if name not in self._arrays:
            head = np.lib.format
            with self._archive.open(name) as file:
                version = head.read_magic(file)
                read = head.read_array_header_1_0 if version == (1, 0) else head.read_array_header_2_0
                shape, _, dtype = read(file)
                n_bytes, n_given = math.prod(shape) * dtype.itemsize, self._members[name].file_size - file.tell()
            if dtype.hasobject or n_bytes != n_given or math.prod(shape) > n_bytes:
                raise ValueError(f"the array {name!r:.60} does not have the size in its header")
            self._arrays[name] = shape, dtype
        return self._arrays[name]

    def _check_objects(self, node: dict[str, Any]) -> None:
        """Check an array of objects, which skops builds from nested lists: each is used once and holds no further lists."""
        shape = node["shape"]
        self._require(_is_node(shape) and shape["__loader__"] == "TupleNode" and self._is_single(shape))
        if len(shape["content"]) == 1:
            return
        self._require(len(shape["content"]) > 1 and all(one["__loader__"] == "JsonNode" for one in shape["content"]))
        items = node["content"]
        for _ in shape["content"][1:]:
            self._require(all(_is_node(item) and item["__loader__"] == "ListNode" and self._is_single(item) for item in items))
            items = [inner for item in items for inner in item["content"]]
        for item in items:
            is_plain = item["__loader__"] == "JsonNode" and item["content"].lstrip()[:1] not in ("[", "{")
            self._require(is_plain or (self._is_array(item) and self._array(item["file"])[0] == ()))

    def _is_single(self, node: dict[str, Any]) -> bool:
        return self._counts[node["__id__"]] == 1
