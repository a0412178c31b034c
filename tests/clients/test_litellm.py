"""LiteLLM, which speaks to many servers in OpenAI's words."""

import os

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no table from the network
litellm = pytest.importorskip("litellm")

MESSAGES = [{"role": "user", "content": "What is a piano?"}]


@pytest.fixture(scope="session")
def options(url, model):
    return {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": "unused", "num_retries": 0, "timeout": 120}


def test_completion_equals_stream(options):
    request = {**options, "messages": MESSAGES, "temperature": 0, "max_tokens": 20}
    whole = litellm.completion(**request)
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.completion_tokens >= 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**request, stream=True))
    assert text == whole.choices[0].message.content


def test_several_answers_with_logprobs(options):
    answer = litellm.completion(**options, messages=MESSAGES, n=2, logprobs=True, top_logprobs=2, max_tokens=4, seed=1)
    assert len(answer.choices) == 2
    assert len(answer.choices[1].logprobs.content[0].top_logprobs) == 2


def test_embedding(options):
    answer = litellm.embedding(**options, input=["one", "two"])
    vectors = [entry["embedding"] for entry in answer.data]
    assert len(vectors) == 2
    assert abs(sum(value * value for value in vectors[0]) - 1) < 1e-5


def test_errors_have_their_class(options):
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**options, messages=MESSAGES, temperature=9)
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**options, "model": "openai/no-such-model"}, messages=MESSAGES)
