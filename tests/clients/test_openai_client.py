"""The official OpenAI client against the server."""

import asyncio

import openai
import pytest

MESSAGES = [{"role": "user", "content": "Say something."}]


@pytest.fixture(scope="session")
def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=120)


def test_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, max_completion_tokens=12, temperature=0)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == model
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert isinstance(choice.message.content, str)
    assert choice.finish_reason in ("stop", "length")
    assert 1 <= answer.usage.completion_tokens <= 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0


def test_stream_equals_the_whole_answer(client, model):
    options = {"model": model, "messages": MESSAGES, "max_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].object == "chat.completion.chunk"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    *deltas, last, usage = chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in deltas)
    assert text == whole.choices[0].message.content
    assert all(chunk.choices[0].finish_reason is None and chunk.usage is None for chunk in deltas)
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason
    assert usage.choices == []
    assert usage.usage.completion_tokens == whole.usage.completion_tokens


def test_stream_without_usage(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=3, stream=True))
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert all(chunk.usage is None for chunk in chunks)


def test_same_seed_same_text(client, model):
    texts = {client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=16, temperature=1.0, seed=7)
             .choices[0].message.content for _ in range(3)}
    assert len(texts) == 1


def test_stop_string_is_removed(client, model):
    options = {"model": model, "messages": MESSAGES, "max_tokens": 30, "temperature": 0}
    text = client.chat.completions.create(**options).choices[0].message.content
    if len(text) < 4:
        pytest.skip("the model has too little to say")
    stop = text[2:4]
    stopped = client.chat.completions.create(**options, stop=[stop]).choices[0]
    assert stopped.message.content == text[:text.index(stop)]
    assert stopped.finish_reason == "stop"


def test_ignore_eos_gives_exact_counts(client, model):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=25, temperature=0,
                                            extra_body={"ignore_eos": True, "min_tokens": 25})
    assert answer.usage.completion_tokens == 25
    assert answer.choices[0].finish_reason == "length"


def test_completions(client, model):
    answer = client.completions.create(model=model, prompt=["one", "two"], max_tokens=4, temperature=0)
    assert answer.object == "text_completion"
    assert [choice.index for choice in answer.choices] == [0, 1]
    single = client.completions.create(model=model, prompt="two", max_tokens=4, temperature=0)
    assert single.choices[0].text == answer.choices[1].text
    streamed = client.completions.create(model=model, prompt="two", max_tokens=4, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == single.choices[0].text


def test_models(client, model):
    assert model in [entry.id for entry in client.models.list()]
    assert client.models.retrieve(model).id == model


@pytest.mark.parametrize("change, error, param", [
    ({"temperature": 5}, openai.BadRequestError, "temperature"),
    ({"temperature": "hot"}, openai.BadRequestError, "temperature"),
    ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
    ({"messages": []}, openai.BadRequestError, "messages"),
    ({"model": "no-such-model"}, openai.NotFoundError, "model"),
    ({"extra_body": {"top_k": "many"}}, openai.BadRequestError, "top_k"),
])
def test_errors_have_the_class_and_field(client, model, change, error, param):
    options = {"model": model, "messages": MESSAGES, "max_tokens": 4, **change}
    with pytest.raises(error) as caught:
        client.chat.completions.create(**options)
    assert caught.value.param == param
    assert param in caught.value.message
    assert caught.value.request_id


def test_too_long_prompt(client, model, max_model_len):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "word " * 2 * max_model_len}])
    assert caught.value.code == "context_length_exceeded"
    assert str(max_model_len) in caught.value.message


def test_unknown_fields_are_ignored(client, model):
    client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1, user="me", metadata={"a": "b"},
                                   extra_body={"brand_new_field": [1]})


def test_leaving_a_stream_early(client, model):
    for _ in range(3):
        with client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1000, stream=True,
                                            extra_body={"ignore_eos": True}) as stream:
            next(iter(stream))
    client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1)


def test_many_at_once(url, model):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=300) as client:
            async def one(i):
                stream = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": f"Request {i % 4}"}], max_tokens=12,
                    temperature=0, stream=True)
                return i % 4, "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return await asyncio.gather(*(one(i) for i in range(24)))
    answers = asyncio.run(run())
    assert len(set(answers)) == len({i for i, _ in answers}) == 4, "equal requests get equal answers"
