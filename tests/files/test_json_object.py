"""Files of ours that are damaged, foreign or made by hand: one sentence each, whatever they hold."""

import json
from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from diffmask.config.limits import OneOf, at_least
from diffmask.core.errors import InputError
from diffmask.files.json_object import MOST_BYTES, inspect_object, read_object


class _Inner(TypedDict):
    kind: Annotated[str, OneOf(("a", "b"))]


class _Record(TypedDict):
    number: Annotated[int, at_least(1)]
    share: float
    names: list[str]
    inner: NotRequired[_Inner]
    pairs: NotRequired[list[tuple[float, float]]]
    by_name: NotRequired[dict[str, int | None]]
    free: NotRequired[Any]


GOOD = {"number": 1, "share": 1, "names": [], "inner": {"kind": "a"}, "pairs": [[0, 1.5]], "by_name": {"x": None}}


def wrong(tmp_path, content, schema=_Record):
    path = tmp_path / "record.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return inspect_object(path, schema)[1]


def test_what_fits_is_read_and_more_is_kept(tmp_path):
    assert wrong(tmp_path, GOOD | {"more": [1], "free": {}}) is None
    assert read_object(tmp_path / "record.json", _Record, "make it again") == GOOD | {"more": [1], "free": {}}
    assert wrong(tmp_path, {"a": 1, "b": 2.5}, {"a": int, "b": (int, float)}) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"number": 0}, "number=0 must be at least 1"),
        ({"number": True}, "number is missing or of a wrong type"),
        ({"number": 1.0}, "number is missing or of a wrong type"),
        ({"share": "0.5"}, "share is missing or of a wrong type"),
        ({"share": None}, "share is missing or of a wrong type"),
        ({"names": "kinase"}, "names is missing or of a wrong type"),
        ({"names": ["a", 1]}, "names[1] is missing or of a wrong type"),
        ({"inner": [1]}, "inner.kind is missing or of a wrong type"),
        ({"inner": {}}, "inner.kind is missing or of a wrong type"),
        ({"inner": {"kind": "c"}}, "unknown inner.kind 'c'; choose from: a, b"),
        ({"pairs": [[1]]}, "pairs[0] is missing or of a wrong type"),
        ({"by_name": {"x": "y"}}, "by_name.x is missing or of a wrong type"),
        ({"by_name": [1]}, "by_name is missing or of a wrong type"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(tmp_path, change, said):
    assert wrong(tmp_path, GOOD | change) == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no JSON (Expecting value"),
        (b"{", "it is no JSON ("),
        (b"\xff{}", "it is no JSON ('utf-8' codec"),
        (b'{"share": NaN}', "it is no JSON (NaN is no number)"),
        (b'{"a":' * 100_000, "it is no JSON (nested too deep)"),
        (b"[" * 100_000, "it is no JSON (nested too deep)"),
        (b"5", "it holds no object"),
        (b"[]", "it holds no object"),
        (b'{"number": 1, "names": [], "share": 1e999}', "share is missing or of a wrong type"),
        (b'{"number": ' + b"9" * 5000 + b"}", "it is no JSON (Exceeds the limit"),
    ],
)
def test_what_is_no_object_is_one_sentence(tmp_path, content, said):
    assert wrong(tmp_path, content).startswith(said)
    with pytest.raises(InputError, match=r"record.json is damaged \(.*\); make it again") as refused:
        read_object(tmp_path / "record.json", _Record, "make it again")
    assert "\n" not in str(refused.value)


def test_a_file_without_end_is_not_read(tmp_path):
    with (tmp_path / "record.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert inspect_object(tmp_path / "record.json", {})[1] == f"it is larger than {MOST_BYTES >> 20} MB"
    assert inspect_object(tmp_path, {})[1].startswith("it cannot be read: Is a directory")
