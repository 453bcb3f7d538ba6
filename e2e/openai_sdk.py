"""The OpenAI SDK for Python: to a provider of its own dialect, and to those of others."""

import asyncio
import json

import openai
import pydantic

from harness import check, equal, raises
from samples import PICTURE, SENTENCE, data_url
from world import WORLD

ALL = ("openai", "anthropic", "answers", "studio", "bedrock", "cohere")
# The Responses API has no stop sequences, no limit under 16, and tells no thoughts unless asked in a way of its own.
CAPABLE = ("openai", "anthropic", "studio", "bedrock", "cohere")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}


class Traveller(pydantic.BaseModel):
    name: str
    papers: list[str]
    age: int


def client(key=None):
    return openai.OpenAI(base_url=f"{WORLD.url}/v1", api_key=key or WORLD.key, max_retries=0, timeout=20)


def user(content):
    return [{"role": "user", "content": content}]


def ask(provider, content, **more):
    return client().chat.completions.create(model=WORLD.model(provider), messages=user(content), **more)


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@check("openai: chat", ALL)
def _(provider):
    answer = ask(provider, "hello")
    equal((answer.object, answer.choices[0].message.role), ("chat.completion", "assistant"))
    equal((answer.choices[0].message.content, answer.choices[0].finish_reason), (SENTENCE, "stop"))
    assert answer.id and answer.usage.prompt_tokens > 0, answer
    equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)


@check("openai: system message and sampling", CAPABLE)
def _(provider):
    messages = [{"role": "system", "content": "be brief"}, *user("hello")]
    answer = client().chat.completions.create(
        model=WORLD.model(provider), messages=messages, max_completion_tokens=3, temperature=0.5)
    equal((answer.choices[0].finish_reason, len(answer.choices[0].message.content.split())), ("length", 3))


@check("openai: stop sequence", CAPABLE)
def _(provider):
    answer = ask(provider, "hello", stop=["toll"])
    equal(answer.choices[0].finish_reason, "stop")
    equal(answer.choices[0].message.content, SENTENCE.partition("toll")[0])


@check("openai: stream", ALL)
def _(provider):
    chunks = list(ask(provider, "hello", stream=True))
    equal(text_of(chunks), SENTENCE)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    equal(reasons, ["stop"])
    equal({chunk.usage for chunk in chunks}, {None})
    equal(len({chunk.id for chunk in chunks}), 1)


@check("openai: stream with usage", ALL)
def _(provider):
    chunks = list(ask(provider, "hello", stream=True, stream_options={"include_usage": True}))
    equal(text_of(chunks), SENTENCE)
    equal([chunk.usage is not None for chunk in chunks], [False] * (len(chunks) - 1) + [True])
    equal((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], len(SENTENCE.split())))


@check("openai: asynchronous stream", ALL)
def _(provider):
    async def stream():
        async with openai.AsyncOpenAI(base_url=f"{WORLD.url}/v1", api_key=WORLD.key, max_retries=0) as async_client:
            chunks = await async_client.chat.completions.create(
                model=WORLD.model(provider), messages=user("hello"), stream=True)
            return [chunk async for chunk in chunks]
    equal(text_of(asyncio.run(stream())), SENTENCE)


@check("openai: tool, called and answered", ALL)
def _(provider):
    first = ask(provider, "please use a tool", tools=[WEATHER])
    message = first.choices[0].message
    equal((first.choices[0].finish_reason, message.content), ("tool_calls", None))
    [call] = message.tool_calls
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "a city"}))
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain until noon"}
    messages = [*user("please use a tool"), message.to_dict(), result]
    second = client().chat.completions.create(model=WORLD.model(provider), messages=messages, tools=[WEATHER])
    equal(second.choices[0].message.content, "The tool said: rain until noon")


@check("openai: two tools, streamed", ALL)
def _(provider):
    with client().chat.completions.stream(
            model=WORLD.model(provider), messages=user("two tools, please"), tools=[WEATHER, TIME]) as stream:
        answer = stream.get_final_completion()
    equal(answer.choices[0].finish_reason, "tool_calls")
    calls = answer.choices[0].message.tool_calls
    equal([(call.function.name, json.loads(call.function.arguments)) for call in calls],
          [("get_weather", {"city": "a city"}), ("get_time", {"zone": "a zone"})])
    equal(len({call.id for call in calls}), 2)


@check("openai: tool choice", ALL)
def _(provider):
    named = {"type": "function", "function": {"name": "get_time"}}
    for choice, names in [(named, ["get_time"]), ("required", ["get_weather"]), ("none", [])]:
        answer = ask(provider, "hello", tools=[WEATHER, TIME], tool_choice=choice)
        calls = answer.choices[0].message.tool_calls or []
        equal([call.function.name for call in calls], names)


@check("openai: structured output", ALL)
def _(provider):
    answer = client().chat.completions.parse(
        model=WORLD.model(provider), messages=user("who comes?"), response_format=Traveller)
    equal(answer.choices[0].message.parsed, Traveller(name="a name", papers=["a papers"], age=7))


@check("openai: picture", ALL)
def _(provider):
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": data_url(PICTURE)}}]
    equal(ask(provider, parts).choices[0].message.content, "I see 1 image.")


@check("openai: reasoning", CAPABLE)
def _(provider):
    answer = ask(provider, "think, then use a tool", reasoning_effort="low", tools=[WEATHER])
    message = answer.choices[0].message
    assert "First I look at the papers" in message.to_dict().get("reasoning_content", ""), message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    messages = [*user("think, then use a tool"), message.to_dict(), result]
    second = client().chat.completions.create(
        model=WORLD.model(provider), messages=messages, reasoning_effort="low", tools=[WEATHER])
    equal(second.choices[0].message.content, "The tool said: rain")


@check("openai: cached tokens", ALL)
def _(provider):
    usage = ask(provider, "hello [[kit input=40 cached=30]]").usage
    equal((usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens), (40, 30))


@check("openai: errors have their class", ALL)
def _(provider):
    for status, kind in [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.APIStatusError)]:
        for stream in [False, True]:
            error = raises(kind, lambda: ask(provider, f"[[kit status={status}]]", stream=stream))
            assert error.request_id and f"scripted status {status}" in error.message, error


@check("openai: wrong key, unknown model, broken request")
def _():
    wrong = client("sk-not-the-key-of-this-house")
    error = raises(openai.AuthenticationError, lambda: wrong.models.list())
    equal((error.code, error.type), ("invalid_api_key", "invalid_api_key"))
    raises(openai.NotFoundError, lambda: client().chat.completions.create(model="no-such-model", messages=user("x")))
    raises(openai.BadRequestError, lambda: client().chat.completions.create(
        model=WORLD.model("anthropic"), messages="not a list"))


@check("openai: a stream cut short is an error", ALL)
def _(provider):
    def consume():
        return list(ask(provider, "[[kit cut-after=6 flush]]", stream=True))
    raises(openai.APIError, consume)


@check("openai: list of models")
def _():
    names = {model.id for model in client().models.list()}
    assert {"openai/kit-large", "anthropic/kit-small", "llamacpp/tiny"} <= names, names


@check("openai: answers say where they came from", ALL)
def _(provider):
    raw = client().chat.completions.with_raw_response.create(model=WORLD.model(provider), messages=user("hello"))
    assert raw.headers["x-request-id"], raw.headers
    equal((raw.headers["x-sekisho-target"], raw.headers["x-sekisho-attempts"]), (WORLD.model(provider), "1"))
