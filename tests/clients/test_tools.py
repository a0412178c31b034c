"""Tools, with the official OpenAI client and LangChain.

The bundled model was never trained to call tools, so calls are forced: by tool_choice and constrained decoding.
"""

import json

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

MESSAGES = [{"role": "user", "content": "What will the weather be in Oslo?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of the next days.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 12},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 5},
            },
            "required": ["city", "unit", "days"],
            "additionalProperties": False,
        },
    },
}
NOW = {"type": "function", "function": {"name": "get_time"}}


@pytest.fixture(scope="module")
def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=120)


def check_call(name, arguments):
    assert name in ("get_weather", "get_time")
    arguments = json.loads(arguments)
    if name == "get_time":
        assert arguments == {}
        return
    assert set(arguments) == {"city", "unit", "days"}
    assert isinstance(arguments["city"], str) and len(arguments["city"]) <= 12
    assert arguments["unit"] in ("celsius", "fahrenheit")
    assert arguments["days"] in range(1, 6)


@pytest.mark.parametrize("temperature", [0, 1])
def test_required(client, model, temperature):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, tools=[WEATHER, NOW], temperature=temperature,
                                            tool_choice="required", parallel_tool_calls=False, max_tokens=300, seed=1)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert len(choice.message.tool_calls) == 1
    call = choice.message.tool_calls[0]
    assert call.type == "function" and call.id
    check_call(call.function.name, call.function.arguments)


def test_named(client, model):
    for name in ("get_weather", "get_time"):
        answer = client.chat.completions.create(model=model, messages=MESSAGES, tools=[WEATHER, NOW], max_tokens=300,
                                                tool_choice={"type": "function", "function": {"name": name}}, n=2,
                                                temperature=1, seed=2)
        for choice in answer.choices:
            assert [call.function.name for call in choice.message.tool_calls] == [name]
            check_call(name, choice.message.tool_calls[0].function.arguments)


def test_stream_equals_the_whole_answer(client, model):
    options = {"model": model, "messages": MESSAGES, "tools": [WEATHER, NOW], "max_tokens": 300, "temperature": 0,
               "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
    whole = client.chat.completions.create(**options).choices[0].message.tool_calls[0].function
    chunks = list(client.chat.completions.create(**options, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].id and deltas[0].type == "function"
    assert deltas[0].function.name == "get_weather" and deltas[0].function.arguments == ""
    assert all(call.id is None and call.function.name is None for call in deltas[1:])
    assert len(deltas) > 2, "arguments stream"
    assert "".join(call.function.arguments for call in deltas) == whole.arguments
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_clients_own_accumulator(client, model):
    with client.chat.completions.stream(model=model, messages=MESSAGES, tools=[NOW], tool_choice="required",
                                        parallel_tool_calls=False, max_tokens=100) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls[0].function.name == "get_time"
    assert message.tool_calls[0].function.arguments == "{}"


def test_results_go_back(client, model):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "noon"}]
    answer = client.chat.completions.create(model=model, messages=messages, tools=[NOW], max_tokens=8)
    assert isinstance(answer.choices[0].message.content, str)


def test_no_calls_unless_asked_for(client, model):
    plain = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=16, temperature=0)
    hidden = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=16, temperature=0,
                                            tools=[WEATHER], tool_choice="none")
    assert hidden.choices[0].message.content == plain.choices[0].message.content
    assert hidden.choices[0].message.tool_calls is None


@pytest.mark.parametrize("wrong", [
    {"tools": []},
    {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
    {"tool_choice": "required"},
    {"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    {"functions": [{"name": "get_time"}]},
])
def test_mistakes_are_the_clients(client, model, wrong):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=model, messages=MESSAGES, **wrong)


@tool
def get_weather(city: str, days: int) -> str:
    """The weather of the next days."""
    return f"{city}: sun for {days} days"


@tool
def get_time() -> str:
    """The time of day."""
    return "noon"


@pytest.fixture(scope="module")
def chat(url, model):
    return ChatOpenAI(base_url=f"{url}/v1", api_key="unused", model=model, temperature=0, max_tokens=400, max_retries=0,
                      timeout=120)


def test_langchain_loop(chat):
    bound = chat.bind_tools([get_time], tool_choice="any", parallel_tool_calls=False)
    question = HumanMessage("What time is it?")
    answer = bound.invoke([question])
    assert isinstance(answer, AIMessage) and not answer.invalid_tool_calls
    assert [call["name"] for call in answer.tool_calls] == ["get_time"]
    result = get_time.invoke(answer.tool_calls[0])
    assert isinstance(result, ToolMessage) and result.content == "noon"
    assert isinstance(chat.invoke([question, answer, result]).content, str)


def test_langchain_streams_named_calls(chat):
    bound = chat.bind_tools([get_weather, get_time], tool_choice="get_time")
    whole = None
    for chunk in bound.stream([HumanMessage("What time is it?")]):
        whole = chunk if whole is None else whole + chunk
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("get_time", {})]
