"""Structured output over gRPC: the answers are of the form that the Structs of GenerationOptions ask for."""

import json
import re

import grpc
import jsonschema
import pytest
import requests
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["word", "score"],
    "properties": {
        "word": {"type": "string", "minLength": 1, "maxLength": 12},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "kinds": {"type": "array", "items": {"enum": ["noun", "verb"]}, "minItems": 1, "maxItems": 2},
    },
}
AS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "entry", "schema": SCHEMA}}}
MESSAGES = [{"role": "user", "content": "What is a piano?"}]


@pytest.fixture(scope="module", name="pb")
def fixture_pb(chat_protos):
    return chat_protos[0]


@pytest.fixture(scope="module", name="stub")
def fixture_stub(channel, chat_protos):
    return chat_protos[1].ChatServiceStub(channel)


def fields_of(fields):
    """GenerationOptions' fields: dictionaries become Structs."""
    return {name: json_format.ParseDict(value, struct_pb2.Struct()) if isinstance(value, dict) else value
            for name, value in fields.items()}


def chat_fields(pb, **fields):
    options = pb.GenerationOptions(**fields_of({"max_tokens": 150, "temperature": 1, "seed": 3, **fields}))
    return {"messages": [pb.ChatMessage(**message) for message in MESSAGES], "options": options}


def validate(text):
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize("fields", [
    AS_SCHEMA,
    {"response_format": {"type": "json_object", "schema": SCHEMA}},
    {"structured_outputs": {"json": SCHEMA}},
], ids=["json_schema", "json_object", "structured_outputs"])
@pytest.mark.parametrize("seed", [1, 2])
def test_answers_validate(stub, pb, fields, seed):
    answer = stub.Chat(pb.ChatRequest(**chat_fields(pb, seed=seed, **fields)), timeout=120)
    assert answer.finish_reason == pb.FINISH_REASON_STOP
    validate(answer.message.content)


def test_any_json_object(stub, pb):
    fields = chat_fields(pb, response_format={"type": "json_object"}, max_tokens=400)
    answer = stub.Chat(pb.ChatRequest(**fields), timeout=120)
    if answer.finish_reason == pb.FINISH_REASON_STOP:
        assert isinstance(json.loads(answer.message.content), dict)
    else:  # an object that nothing bounds may be cut off
        assert answer.message.content.lstrip().startswith("{")


def test_regex_choice_and_grammar(stub, pb):
    def ask(**outputs):
        fields = chat_fields(pb, structured_outputs=outputs)
        return stub.Chat(pb.ChatRequest(**fields), timeout=120).message.content

    assert re.fullmatch(r"[a-f]{3}-\d{2}", ask(regex=r"[a-f]{3}-\d{2}"))
    assert ask(choice=["plant", "animal"]) in ("plant", "animal")
    assert re.fullmatch(r"(ab){1,5}!", ask(grammar='root ::= pair{1,5} "!"\npair ::= "ab"'))


def test_completions(stub, pb):
    options = pb.GenerationOptions(**fields_of({"max_tokens": 60, "structured_outputs": {"regex": "(yes|no){2,3}"}}))
    answer = stub.Complete(pb.CompleteRequest(text="one two", options=options), timeout=120)
    assert re.fullmatch("(yes|no){2,3}", answer.text)


def test_streamed_pieces_add_up_to_the_answer(stub, pb):
    whole = stub.Chat(pb.ChatRequest(**chat_fields(pb, **AS_SCHEMA)), timeout=120)
    chunks = list(stub.ChatStream(pb.ChatStreamRequest(**chat_fields(pb, **AS_SCHEMA)), timeout=120))
    assert len(chunks) > 1
    text = "".join(chunk.text for chunk in chunks)
    assert text == whole.message.content
    validate(text)


def test_an_answer_is_the_same_every_time(stub, pb):
    names = ["zeta", "alpha", "mid", "beta", "omega", "x"]
    schema = {"type": "object", "additionalProperties": False, "required": names,
              "properties": {name: {"type": "boolean"} for name in names}}
    # A new message for each call: a map of protobuf has another order in every one.
    answers = {stub.Chat(pb.ChatRequest(**chat_fields(pb, structured_outputs={"json": schema})), timeout=120)
               .message.content for _ in range(6)}
    assert len(answers) == 1
    assert list(json.loads(answers.pop())) == sorted(names)


def test_equals_http(stub, pb, url):
    outputs = {"regex": "[a-z]{2,8} [0-9]{1,4}"}
    answer = stub.Chat(pb.ChatRequest(**chat_fields(pb, structured_outputs=outputs)), timeout=120)
    http = requests.post(f"{url}/v1/chat/completions", timeout=120, json={
        "messages": MESSAGES, "max_tokens": 150, "temperature": 1, "seed": 3, "structured_outputs": outputs}).json()
    assert answer.message.content == http["choices"][0]["message"]["content"]


@pytest.mark.parametrize("fields, field, reason", [
    ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
    ({"response_format": {"type": "frobnicate"}}, "response_format", "json_object"),
    ({"response_format": {"type": "json_object", "schema": {"properties": {"a": {"not": {}}}}}}, "response_format",
     "#/properties/a/not"),
    ({"structured_outputs": {"regex": "("}}, "structured_outputs", "at byte 1"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs", "array"),
    ({"structured_outputs": {"regex": "a"}, **AS_SCHEMA}, "structured_outputs", "response_format"),
    ({"structured_outputs": {"choice": [float("nan")]}}, "structured_outputs", "not finite"),
], ids=["no_schema", "type", "schema", "regex", "choice", "two", "nan"])
@pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])
def test_what_cannot_be_promised_is_refused(stub, pb, fields, field, reason, streaming):
    with pytest.raises(grpc.RpcError) as caught:
        if streaming:
            list(stub.ChatStream(pb.ChatStreamRequest(**chat_fields(pb, **fields)), timeout=30))
        else:
            stub.Chat(pb.ChatRequest(**chat_fields(pb, **fields)), timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason in caught.value.details()
    violation = error_details_pb2.BadRequest()
    assert rpc_status.from_call(caught.value).details[1].Unpack(violation)
    assert violation.field_violations[0].field == field
