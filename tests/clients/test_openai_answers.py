"""What the official OpenAI client shows besides text: several answers, log probabilities, embeddings, responses."""

import math

import openai
import pytest

MESSAGES = [{"role": "user", "content": "What is a piano?"}]


@pytest.fixture(scope="session")
def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=120)


def test_several_answers(client, model):
    options = {"model": model, "messages": MESSAGES, "max_tokens": 12, "temperature": 1.5, "seed": 3, "n": 4}
    answer = client.chat.completions.create(**options)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    single = client.chat.completions.create(**{**options, "n": 1})
    assert single.choices[0].message.content == answer.choices[0].message.content
    assert answer.usage.prompt_tokens == single.usage.prompt_tokens
    streamed = {}
    for chunk in client.chat.completions.create(**options, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] = streamed.get(choice.index, "") + (choice.delta.content or "")
    assert streamed == {choice.index: choice.message.content for choice in answer.choices}


def test_chat_logprobs(client, model):
    options = {"model": model, "messages": MESSAGES, "max_tokens": 10, "temperature": 0, "logprobs": True,
               "top_logprobs": 3}
    answer = client.chat.completions.create(**options)
    items = answer.choices[0].logprobs.content
    assert len(items) == answer.usage.completion_tokens
    for item in items:
        assert item.logprob <= 0
        assert len(item.top_logprobs) == 3
        assert item.token == item.top_logprobs[0].token, "greedy takes the most likely one"
        assert item.logprob == item.top_logprobs[0].logprob
        probabilities = [math.exp(top.logprob) for top in item.top_logprobs]
        assert sorted(probabilities, reverse=True) == probabilities
        assert sum(probabilities) <= 1.0001
    spoken = b"".join(bytes(item.bytes) for item in items).decode(errors="replace")
    assert spoken.startswith(answer.choices[0].message.content)
    streamed = [item for chunk in client.chat.completions.create(**options, stream=True)
                for choice in chunk.choices if choice.logprobs for item in choice.logprobs.content]
    assert streamed == items


def test_text_logprobs_and_echo(client, model):
    options = {"model": model, "prompt": "A piano is", "max_tokens": 5, "temperature": 0, "logprobs": 2}
    plain = client.completions.create(**options).choices[0]
    echoed = client.completions.create(**options, echo=True).choices[0]
    assert echoed.text == "A piano is" + plain.text
    generated = len(plain.logprobs.tokens)
    assert echoed.logprobs.tokens[-generated:] == plain.logprobs.tokens
    assert echoed.logprobs.token_logprobs[-generated:] == plain.logprobs.token_logprobs
    assert echoed.logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in echoed.logprobs.token_logprobs[1:])
    prompt_only = client.completions.create(**{**options, "max_tokens": 0}, echo=True)
    assert prompt_only.choices[0].text == "A piano is"
    assert prompt_only.choices[0].logprobs.token_logprobs == echoed.logprobs.token_logprobs[:-generated]
    assert prompt_only.usage.completion_tokens == 0


def test_what_is_generated_scores_the_same_as_a_prompt(client, model):
    """Prompt and generated log probabilities are one arithmetic."""
    answer = client.completions.create(model=model, prompt="A piano is", max_tokens=8, temperature=0, logprobs=0,
                                       extra_body={"return_token_ids": True, "ignore_eos": True}).choices[0]
    scored = client.completions.create(model=model, prompt=answer.prompt_token_ids + answer.token_ids, max_tokens=0,
                                       echo=True, logprobs=0).choices[0]
    assert scored.logprobs.token_logprobs[-8:] == answer.logprobs.token_logprobs


def test_rules_for_tokens(client, model):
    tokens = client.completions.create(model=model, prompt="A piano is", max_tokens=6, temperature=0,
                                       extra_body={"return_token_ids": True}).choices[0].token_ids
    banned = client.completions.create(model=model, prompt="A piano is", max_tokens=6, temperature=0,
                                       logit_bias={str(tokens[0]): -100},
                                       extra_body={"return_token_ids": True}).choices[0].token_ids
    assert tokens[0] not in banned
    allowed = client.completions.create(model=model, prompt="A piano is", max_tokens=6,
                                        extra_body={"allowed_token_ids": [tokens[0]], "return_token_ids": True})
    assert set(allowed.choices[0].token_ids) == {tokens[0]}


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_embeddings(client, model):
    texts = ["a keyboard instrument", "a large animal", "a keyboard instrument"]
    answer = client.embeddings.create(model=model, input=texts)  # the client asks for base64
    vectors = [entry.embedding for entry in answer.data]
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    assert all(abs(cosine(vector, vector) - 1) < 1e-5 for vector in vectors)
    assert vectors[0] == vectors[2], "whatever the batch"
    assert vectors[0] != vectors[1]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    plain = client.embeddings.create(model=model, input=texts[0], encoding_format="float").data[0].embedding
    assert plain == pytest.approx(vectors[0], abs=1e-7)
    short = client.embeddings.create(model=model, input=texts[0], dimensions=8).data[0].embedding
    assert len(short) == 8
    scale = math.sqrt(cosine(plain[:8], plain[:8]))
    assert short == pytest.approx([value / scale for value in plain[:8]], abs=1e-6)
    mean = client.embeddings.create(model=model, input=texts[0], extra_body={"pooling": "mean"}).data[0].embedding
    assert mean != plain


def test_embedding_errors(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=model, input="x", dimensions=10**6)
    assert caught.value.param == "dimensions"


def test_responses(client, model):
    chat = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=64, temperature=0)
    answer = client.responses.create(model=model, input=MESSAGES[0]["content"], max_output_tokens=64, temperature=0)
    assert answer.output_text == chat.choices[0].message.content
    assert answer.status == "completed"
    assert answer.usage.output_tokens == chat.usage.completion_tokens
    with client.responses.stream(model=model, input=MESSAGES, max_output_tokens=64, temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == answer.output_text
    cut = client.responses.create(model=model, input=MESSAGES, max_output_tokens=1, temperature=0)
    assert cut.status == "incomplete"
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_responses_need_no_state(client, model):
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model=model, input="x", previous_response_id="resp_1")
    assert caught.value.status_code == 501
    assert caught.value.param == "previous_response_id"
