"""LangChain's ChatOpenAI against the server."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI


@pytest.fixture(scope="session")
def chat(url, model):
    return ChatOpenAI(base_url=f"{url}/v1", api_key="unused", model=model, temperature=0, max_tokens=16, max_retries=0,
                      timeout=120, stream_usage=True)


CONVERSATION = [SystemMessage("Be short."), HumanMessage("Hi"), AIMessage("Hello."), HumanMessage("How are you?")]


def test_invoke(chat):
    answer = chat.invoke(CONVERSATION)
    assert isinstance(answer.content, str)
    assert answer.response_metadata["finish_reason"] in ("stop", "length")
    assert answer.usage_metadata["output_tokens"] >= 1


def test_stream_equals_invoke(chat):
    whole = None
    for chunk in chat.stream(CONVERSATION):
        whole = chunk if whole is None else whole + chunk
    answer = chat.invoke(CONVERSATION)
    assert whole.content == answer.content
    assert whole.usage_metadata["total_tokens"] == answer.usage_metadata["total_tokens"]


def test_batch(chat):
    answers = chat.batch([CONVERSATION, [HumanMessage("Other")], CONVERSATION])
    assert answers[0].content == answers[2].content
