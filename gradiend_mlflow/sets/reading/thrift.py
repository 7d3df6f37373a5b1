"""Structs in Thrift's compact protocol - Parquet's footer and the headers of its pages - of which nothing is believed.

Only the fields that are asked for are kept. What another reader could understand differently - a field that comes
twice or has another type - is refused, so that what was checked here is what is decoded there.
"""

from __future__ import annotations

from typing import Any, TypeAlias

INT32, INT64 = 5, 6
_BOOLEANS, _BYTE, _INT16, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = {1, 2}, 3, 4, 7, 8, 9, 10, 12

# What is asked for: the fields of a struct by number, or [what a list is of], or one of the types above.
Wanted: TypeAlias = "dict[int, Wanted] | list[Wanted] | int"

_MORE = 128  # the highest bit of a byte, which says that the number goes on
_DEEPEST = 16  # structs and lists inside each other
_LARGEST_FIELD = 2**15 - 1
_BITS = {_INT16: 16, INT32: 32, INT64: 64}


class CompactReader:
    """Reads structs one after the other; `at` is where the next begins.

    Args:
        data: What the structs lie in.
        at: Where the first begins.
        most: How many values to read at most, those that nobody asked for included.
    """

    def __init__(self, data: bytes, at: int, most: int) -> None:
        self.at = at
        self._data = data
        self._left = most

    def struct(self, wanted: dict[int, Wanted], depth: int = _DEEPEST) -> dict[int, Any]:
        """The fields that are wanted, as far as the struct has them.

        Raises:
            ValueError, IndexError: If there is no such struct.
        """
        fields: dict[int, Any] = {}
        key = 0
        while header := self._data[self.at]:
            self.at += 1
            step, kind = divmod(header, 16)
            key = key + step if step else self._integer(_INT16)
            if key > _LARGEST_FIELD or key in fields:
                raise ValueError
            if key in wanted:
                fields[key] = self._value(kind, wanted[key], depth)
            else:
                self._skip(kind, depth)
        self.at += 1
        return fields

    def _value(self, kind: int, wanted: Wanted, depth: int) -> Any:
        self._count(depth)
        if isinstance(wanted, dict) and kind == _STRUCT:
            return self.struct(wanted, depth - 1)
        if isinstance(wanted, list) and kind == _LIST:
            size, inner = self._list()
            return [self._value(inner, wanted[0], depth - 1) for _ in range(size)]
        if kind != wanted:
            raise ValueError
        return self._integer(kind)

    def _skip(self, kind: int, depth: int, *, in_list: bool = False) -> None:
        self._count(depth)
        if kind in _BOOLEANS:  # a field's header has its value
            self.at += in_list
        elif kind in _BITS:
            self._varint()
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind == _STRUCT:
            self.struct({}, depth - 1)
        elif kind in {_LIST, _SET}:
            size, inner = self._list()
            for _ in range(size):
                self._skip(inner, depth - 1, in_list=True)
        elif kind in {_BYTE, _DOUBLE}:
            self._pass(1 if kind == _BYTE else 8)
        else:  # maps, which Parquet has none of
            raise ValueError

    def _count(self, depth: int) -> None:
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise ValueError

    def _list(self) -> tuple[int, int]:
        size, kind = divmod(self._data[self.at], 16)
        self.at += 1
        return (self._varint() if size == 15 else size), kind  # noqa: PLR2004  # 15 says that the size follows

    def _pass(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise ValueError

    def _integer(self, kind: int) -> int:
        number = self._varint()
        if number >> _BITS[kind]:
            raise ValueError
        return number >> 1 ^ -(number & 1)

    def _varint(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        if byte < _MORE:
            return byte
        number, shift = byte - _MORE, 7
        while byte >= _MORE:
            if shift >= _BITS[INT64]:
                raise ValueError
            byte = self._data[self.at]
            self.at += 1
            number |= (byte & ~_MORE) << shift
            shift += 7
        return number
