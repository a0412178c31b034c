"""Structured output over HTTP: whatever is asked for in whichever field, the answer is of that form."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["word", "score", "kinds"],
    "properties": {
        "word": {"type": "string", "minLength": 1, "maxLength": 30},
        "score": {"type": "number", "minimum": 0.5, "exclusiveMaximum": 5},
        "kinds": {"type": "array", "items": {"enum": ["noun", "verb", "adjective"]}, "minItems": 1, "maxItems": 3},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    },
}
AS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "entry", "schema": SCHEMA}}}


def validate(text):
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize("fields", [
    AS_SCHEMA,
    {"response_format": {"type": "json_object", "schema": SCHEMA}},
    {"structured_outputs": {"json": SCHEMA}},
    {"guided_json": json.dumps(SCHEMA)},
])
@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_answers_validate(service, fields, temperature):
    validate(service.ask("What is a piano?", temperature=temperature, seed=5, max_tokens=200, **fields))


def test_regex_choice_and_grammar(service):
    def ask(**fields):
        return service.ask("What is a tree?", temperature=1, max_tokens=60, **fields)

    assert re.fullmatch(r"[a-f]{3}-\d{2}", ask(guided_regex=r"[a-f]{3}-\d{2}"))
    assert ask(structured_outputs={"choice": ["plant", "animal"]}) in ("plant", "animal")
    assert re.fullmatch(r"(ab){1,5}!", ask(guided_grammar='root ::= pair{1,5} "!"\npair ::= "ab"'))


def test_an_answer_is_the_same_alone_and_beside_others(service):
    def ask(seed):
        return service.ask("What is a river?", temperature=1.2, seed=seed, max_tokens=150, **AS_SCHEMA)

    alone = [ask(seed) for seed in range(6)]
    with ThreadPoolExecutor(12) as pool:
        free = [pool.submit(service.ask, "What is a piano?") for _ in range(6)]
        together = list(pool.map(ask, range(6)))
    assert together == alone
    assert len({answer.result() for answer in free}) == 1
    for text in alone:
        validate(text)


def test_streamed_deltas_add_up_to_an_object(service):
    events = list(service.stream("What is a cat?", temperature=1, seed=3, max_tokens=200, **AS_SCHEMA))
    validate("".join(event["choices"][0]["delta"].get("content") or "" for event in events if event and event["choices"]))


@pytest.mark.parametrize("fields, param, reason", [
    ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
    ({"guided_json": {"properties": {"a": {"not": {}}}}}, "guided_json", "#/properties/a/not"),
    ({"guided_regex": "("}, "guided_regex", "at byte 1"),
    ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice", "guided_regex"),
])
def test_what_cannot_be_promised_is_refused(service, fields, param, reason):
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    response = service.post("/v1/chat/completions", body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert reason in error["message"]
