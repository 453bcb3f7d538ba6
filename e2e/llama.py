"""A real llama server behind sekisho, in its own dialect and in another."""

import json

import anthropic_sdk
import openai_sdk
from harness import check, equal
from tiny_model import CITY, SENTENCE

ONE = ("llamacpp",)


@check("llama: openai chat", ONE)
def _(provider):
    answer = openai_sdk.ask(provider, "who stands at the gate?", temperature=1.2)
    equal((answer.choices[0].message.content, answer.choices[0].finish_reason), (SENTENCE, "stop"))
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, answer.usage


@check("llama: openai stream", ONE)
def _(provider):
    chunks = list(openai_sdk.ask(provider, "hello", stream=True, stream_options={"include_usage": True}))
    equal(openai_sdk.text_of(chunks), SENTENCE)
    assert chunks[-1].usage.completion_tokens > 0, chunks[-1]


@check("llama: openai tool call", ONE)
def _(provider):
    answer = openai_sdk.ask(provider, "please use a tool", tools=[openai_sdk.WEATHER])
    [call] = answer.choices[0].message.tool_calls
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": CITY}))


@check("llama: openai tool call, streamed", ONE)
def _(provider):
    given = {"messages": openai_sdk.user("please use a tool"), "tools": [openai_sdk.WEATHER]}
    with openai_sdk.client().chat.completions.stream(model="llamacpp/tiny", **given) as events:
        [call] = events.get_final_completion().choices[0].message.tool_calls
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": CITY}))


@check("llama: anthropic message", ONE)
def _(provider):
    answer = anthropic_sdk.ask(provider, "who stands at the gate?")
    equal((anthropic_sdk.said(answer), answer.stop_reason), (SENTENCE, "end_turn"))
    assert answer.usage.output_tokens > 0, answer.usage


@check("llama: anthropic stream", ONE)
def _(provider):
    with anthropic_sdk.stream(provider, "hello") as events:
        equal("".join(events.text_stream), SENTENCE)


@check("llama: anthropic tool call, streamed and answered", ONE)
def _(provider):
    with anthropic_sdk.stream(provider, "please use a tool", tools=[anthropic_sdk.WEATHER]) as events:
        first = events.get_final_message()
    call = first.content[-1]
    equal((call.name, call.input, first.stop_reason), ("get_weather", {"city": CITY}, "tool_use"))
    result = anthropic_sdk.user([{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}])
    given = ["please use a tool", anthropic_sdk.returned(first), result]
    equal(anthropic_sdk.said(anthropic_sdk.ask(provider, *given, tools=[anthropic_sdk.WEATHER])), SENTENCE)
