"""Jenkins' remote access API: which part of a document comes, and how it is written as Python."""

from __future__ import annotations

from typing import Any


def prune(document: Any, tree: str) -> Any:
    """The `tree` of the remote access API: `a,b[c,d{0,10}]`; the class always stays."""
    return _kept(document, _wanted(_Reader(tree)))


def without_depth(document: dict[str, Any]) -> dict[str, Any]:
    """What comes without a tree: of builds only their numbers and addresses."""
    short = {"builds": "number,url", "firstBuild": "number,url", "lastBuild": "number,url", "lastCompletedBuild": "number,url"}
    shallow = {name: prune(value, short[name]) if name in short else value for name, value in document.items()}
    for child in shallow.get("jobs", ()):
        child.pop("lastBuild", None)
        child.pop("jobs", None)
    return shallow


def python_literal(value: Any) -> str:
    """As Jenkins writes /api/python."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{python_literal(key)}:{python_literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(python_literal, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return repr(value)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def until(self, stops: str) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in stops:
            self.at += 1
        return self.text[start : self.at]


def _wanted(reader: _Reader) -> dict[str, tuple[dict[str, Any], str]]:
    found: dict[str, tuple[dict[str, Any], str]] = {}
    while reader.peek() not in ("", "]"):
        name, inner, cut = reader.until(",[]{").strip(), {}, ""
        if reader.peek() == "[":
            reader.at += 1
            inner = _wanted(reader)
            reader.at += 1
        if reader.peek() == "{":
            reader.at += 1
            cut = reader.until("}")
            reader.at += 1
        found[name] = (inner, cut)
        if reader.peek() == ",":
            reader.at += 1
    return found


def _kept(value: Any, wanted: dict[str, tuple[dict[str, Any], str]]) -> Any:
    if isinstance(value, list):
        return [_kept(one, wanted) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {"_class": value["_class"]} if "_class" in value else {}
    for name, (inner, cut) in wanted.items():
        if name in value:
            kept[name] = _kept(value[name], inner)
            if cut:
                first, _, last = cut.partition(",")
                kept[name] = kept[name][int(first or 0) : int(last) if last else None]
    return kept
