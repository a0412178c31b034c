"""A gRPC client made from the committed contract, the health service and reflection."""

import grpc
import pytest
import requests
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status


@pytest.fixture(scope="session")
def stub(channel, chat_protos):
    return chat_protos[1].ChatServiceStub(channel)


@pytest.fixture(scope="session")
def pb(chat_protos):
    return chat_protos[0]


def options(pb, **fields):
    return pb.GenerationOptions(**{"max_tokens": 12, "temperature": 0, **fields})


def messages(pb):
    return [pb.ChatMessage(role="user", content="Say something.")]


def test_chat_equals_http(stub, pb, url, model):
    answer = stub.Chat(pb.ChatRequest(messages=messages(pb), options=options(pb)), timeout=120)
    assert answer.model == model
    assert answer.finish_reason in (pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH)
    assert len(answer.token_ids) == answer.usage.completion_tokens
    http = requests.post(f"{url}/v1/chat/completions", timeout=120, json={
        "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 12, "temperature": 0}).json()
    assert answer.message.content == http["choices"][0]["message"]["content"]
    assert answer.usage.prompt_tokens == http["usage"]["prompt_tokens"]


def test_stream_equals_unary(stub, pb):
    whole = stub.Chat(pb.ChatRequest(messages=messages(pb), options=options(pb)), timeout=120)
    chunks = list(stub.ChatStream(pb.ChatStreamRequest(messages=messages(pb), options=options(pb)), timeout=120))
    assert "".join(chunk.text for chunk in chunks) == whole.message.content
    assert [i for chunk in chunks for i in chunk.token_ids] == list(whole.token_ids)
    assert all(chunk.finish_reason == pb.FINISH_REASON_UNSPECIFIED for chunk in chunks[:-1])
    assert chunks[-1].finish_reason == whole.finish_reason


def test_complete(stub, pb):
    text = stub.Complete(pb.CompleteRequest(text="one two", options=options(pb)), timeout=120)
    chunks = stub.CompleteStream(pb.CompleteStreamRequest(text="one two", options=options(pb)), timeout=120)
    assert "".join(chunk.text for chunk in chunks) == text.text


def test_several_answers_with_logprobs_equal_http(stub, pb, url):
    answer = stub.Chat(pb.ChatRequest(messages=messages(pb), options=options(
        pb, temperature=1, seed=5, n=3, logprobs=2, max_tokens=6)), timeout=120)
    http = requests.post(f"{url}/v1/chat/completions", timeout=120, json={
        "messages": [{"role": "user", "content": "Say something."}], "temperature": 1, "seed": 5, "n": 3,
        "logprobs": True, "top_logprobs": 2, "max_tokens": 6}).json()
    assert [choice.message.content for choice in answer.choices] == [
        choice["message"]["content"] for choice in http["choices"]]
    for choice, other in zip(answer.choices, http["choices"]):
        assert [list(item.chosen.token) for item in choice.logprobs] == [
            item["bytes"] for item in other["logprobs"]["content"]]
    assert answer.usage.completion_tokens == http["usage"]["completion_tokens"]


def test_embeddings_equal_http(stub, pb, url):
    answer = stub.Embed(pb.EmbedRequest(inputs=[pb.EmbedInput(text="one"), pb.EmbedInput(text="two")], dimensions=8,
                                        pooling=pb.POOLING_MEAN), timeout=120)
    http = requests.post(f"{url}/v1/embeddings", timeout=120, json={
        "input": ["one", "two"], "dimensions": 8, "pooling": "mean"}).json()
    assert [list(embedding.values) for embedding in answer.embeddings] == [
        pytest.approx(entry["embedding"], abs=1e-7) for entry in http["data"]]
    assert answer.prompt_tokens == http["usage"]["prompt_tokens"]


def test_models(stub, pb, model):
    assert model in [entry.id for entry in stub.ListModels(pb.ListModelsRequest(), timeout=30).models]


def test_errors_carry_details(stub, pb):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Chat(pb.ChatRequest(messages=messages(pb), options=options(pb, temperature=9)), timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)
    info, violation = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("invalid_value", "tandem")
    assert status.details[1].Unpack(violation)
    assert violation.field_violations[0].field == "temperature"


def test_cancelling_a_stream(stub, pb):
    stream = stub.ChatStream(pb.ChatStreamRequest(
        messages=messages(pb), options=options(pb, max_tokens=1000, ignore_eos=True)), timeout=120)
    next(stream)
    stream.cancel()
    try:
        for _ in stream:  # ends normally only when the model was faster than the cancellation
            pass
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.CANCELLED
    assert stub.Chat(pb.ChatRequest(messages=messages(pb), options=options(pb)), timeout=120).finish_reason


def test_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tandem.chat.v1.ChatService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=30)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
