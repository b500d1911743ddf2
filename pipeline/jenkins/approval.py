"""What a paused build asks a person, and the person's word brought to it with every parameter: Jenkins then keeps who agreed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins import replies
from pipeline.jenkins.answers import AnswerLost, NotThere
from pipeline.jenkins.connection import Connection
from pipeline.jenkins.replies import Parameter, Question


def questions(connection: Connection, build_path: str) -> tuple[Question, ...]:
    """All that the build waits for; parallel stages may ask several things at once."""
    return connection.read(f"{build_path}/wfapi/pendingInputActions", replies.questions)


def the_question(asked: tuple[Question, ...], name: str) -> Question:
    """The one that is asked. Raises UsageError when there is none, or when it is not clear which is meant."""
    if not asked:
        raise UsageError(f"{name} does not wait for anybody")
    if len(asked) > 1:
        raise UsageError(f"{name} asks several things: {'; '.join(one.message for one in asked)}", hint="answer them on its page")
    return asked[0]


def settle(connection: Connection, build_path: str, name: str, question: Question, verb: str, form: Mapping[str, str]) -> None:
    """Bring a word to the question. A lost answer is settled by looking whether it is still asked. Raises PipelineError."""
    try:
        connection.post(f"{build_path}/input/{quote(question.id, safe='')}/{verb}", form)
    except NotThere as error:
        raise PipelineError(
            f"{name} does not wait for {question.id!r} any more", hint="somebody has answered, or it is over"
        ) from error
    except AnswerLost as error:
        if question.id in [one.id for one in questions(connection, build_path)]:
            raise PipelineError(f"{name} still waits: {error}", hint="say it again") from error


def agreement(question: Question, given: Mapping[str, str]) -> dict[str, str]:
    """The form that agrees, as Jenkins' own page sends it; what is not given has its default. Raises UsageError.

    Never `proceedEmpty`, which leaves out the parameters, and the submitter's name with them (InputStepExecution.doProceedEmpty).
    """
    if unknown := sorted(given.keys() - {parameter.name for parameter in question.parameters}):
        known = ", ".join(parameter.name for parameter in question.parameters) or "nothing"
        raise UsageError(f"{question.message!r} does not ask for {', '.join(unknown)}", hint=f"it asks for {known}")
    values = {one.name: _value(one, given.get(one.name)) for one in question.parameters}
    parameters = [{"name": name, "value": value} for name, value in values.items() if value is not None]
    return {"proceed": question.proceed, "json": json.dumps({"parameter": parameters})}


def _value(parameter: Parameter, given: str | None) -> str | bool | None:
    if given is None:
        return parameter.default
    if parameter.choices and given not in parameter.choices:
        raise UsageError(f"{parameter.name} = {given!r} is not a choice", hint=f"it takes {', '.join(parameter.choices)}")
    return given.lower() == "true" if parameter.kind.startswith("Boolean") else given
