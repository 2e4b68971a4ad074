"""Reads JSON as Go's encoding/json would into structs, which is stricter than most clients: an int takes no fraction and no text, a list no
object, a map of texts nothing but texts. Null and what is absent give the zero value; names that no field has are passed over.

A struct is {field: type}; a type is "string", "int", "int64", "float64", "bool", "any", "uuid", "time" (RFC 3339, or milliseconds), "digits" (a
number, or text of one), "*T" (absent is None), "[]T", "map[string]T", or a struct."""
import datetime
import re

ZERO = {"string": "", "int": 0, "int64": 0, "float64": 0, "bool": False, "any": None, "uuid": "", "time": 0, "digits": 0}
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


class CannotUnmarshal(AssertionError):
    """json: cannot unmarshal … into Go value of type …"""


def zero(type_):
    if isinstance(type_, dict):
        return {field: zero(inner) for field, inner in type_.items()}
    return {} if type_.startswith("map[") else [] if type_.startswith("[]") else ZERO.get(type_)


def wrong(value, type_, where):
    raise CannotUnmarshal(f"{where}: cannot unmarshal {value!r} into {type_}")


def read_plain(value, type_, where):
    if type_ == "any":
        return value
    if type_ == "uuid":
        if not isinstance(value, str) or not UUID.fullmatch(value):
            wrong(value, type_, where)
    elif type_ == "time" and isinstance(value, str):
        datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    elif type_ == "digits" and isinstance(value, str):
        if not re.fullmatch("[0-9]*", value):
            wrong(value, type_, where)
    elif type_ == "float64":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            wrong(value, type_, where)
    elif type_ in ("int", "int64", "time", "digits"):
        if isinstance(value, bool) or not isinstance(value, int) or not -2**63 <= value < 2**63:
            wrong(value, type_, where)
    elif not isinstance(value, {"string": str, "bool": bool}[type_]):
        wrong(value, type_, where)
    return value


def read(value, type_, where="$"):
    """The value as Go has it."""
    if value is None:
        return zero(type_)
    if isinstance(type_, dict):
        if not isinstance(value, dict):
            wrong(value, "a struct", where)
        return {field: read(value.get(field), inner, f"{where}.{field}") for field, inner in type_.items()}
    if type_.startswith("*"):
        return read(value, type_[1:], where)
    if type_.startswith("[]"):
        if not isinstance(value, list):
            wrong(value, type_, where)
        return [read(item, type_[2:], f"{where}[{i}]") for i, item in enumerate(value)]
    if type_.startswith("map[string]"):
        if not isinstance(value, dict):
            wrong(value, type_, where)
        return {key: read(item, type_[11:], f"{where}.{key}") for key, item in value.items()}
    return read_plain(value, type_, where)
