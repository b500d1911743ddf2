"""The configuration of jobs: made where it is missing, changed where it differs, left alone where it says the same."""

from __future__ import annotations

import re
from typing import Literal
from xml.etree import ElementTree

from pipeline.errors import UsageError
from pipeline.jenkins.answers import AnswerLost, NotThere
from pipeline.jenkins.connection import XML, Connection
from pipeline.jenkins.names import job_path

Done = Literal["created", "updated", "unchanged"]
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def put_job(connection: Connection, name: str, config_xml: str) -> Done:
    """Let the job `name` have that configuration; its folders have to be there. Raises UsageError for what is no XML."""
    try:
        wanted = canonical(config_xml)
    except ElementTree.ParseError as error:
        raise UsageError(f"the configuration of {name} is no XML: {error}") from error
    before = _current(connection, name)
    if before == wanted:
        return "unchanged"
    try:
        if before is None:
            folder, _, leaf = name.strip("/").rpartition("/")
            path = f"{job_path(folder)}/createItem" if folder else "createItem"
            connection.post(path, _bytes(config_xml), XML, {"name": leaf})
        else:
            connection.post(f"{job_path(name)}/config.xml", _bytes(config_xml), XML)
    except AnswerLost:
        if _current(connection, name) != wanted:
            raise
    return "created" if before is None else "updated"


def canonical(config_xml: str) -> str:
    """The same text for configurations that mean the same: without white space, order of attributes, and versions of plugins."""
    return ElementTree.canonicalize(config_xml, strip_text=True, exclude_attrs=["plugin"])


def _current(connection: Connection, name: str) -> str | None:
    try:
        text = connection.get(f"{job_path(name)}/config.xml").text
    except NotThere:
        return None
    try:
        return canonical(text)
    except ElementTree.ParseError:
        return text


def _bytes(config_xml: str) -> bytes:
    # Under Jenkins' own declaration: what a text says of its encoding no longer holds, and 1.1 allows what scripts may have.
    return f'<?xml version="1.1" encoding="UTF-8"?>\n{DECLARATION.sub("", config_xml).lstrip()}'.encode()
