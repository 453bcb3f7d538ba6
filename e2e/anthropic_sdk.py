"""The Anthropic SDK for Python: to a provider of its own dialect, and to those of others."""

import anthropic

from harness import check, equal, raises
from samples import PICTURE, SENTENCE
from world import WORLD

ALL = ("anthropic", "openai", "answers", "studio", "bedrock", "cohere")
# The Responses API has no stop sequences, no limit under 16, and tells no thoughts unless asked in a way of its own.
CAPABLE = ("anthropic", "openai", "studio", "bedrock", "cohere")
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {
    "name": "get_time",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}


def client(key=None, **more):
    return anthropic.Anthropic(base_url=WORLD.url, api_key=key or WORLD.key, max_retries=0, timeout=20, **more)


def user(content):
    return {"role": "user", "content": content}


def ask(provider, *messages, **more):
    messages = [user(message) if isinstance(message, str) else message for message in messages]
    return client().messages.create(**{"model": WORLD.model(provider), "max_tokens": 200, "messages": messages} | more)


def stream(provider, content, **more):
    given = {"model": WORLD.model(provider), "max_tokens": 200, "messages": [user(content)]} | more
    return client().messages.stream(**given)


def said(message):
    return "".join(block.text for block in message.content if block.type == "text")


def returned(message):
    """An answer as a turn of the next request."""
    return {"role": "assistant", "content": [block.to_dict() for block in message.content]}


@check("anthropic: message", ALL)
def _(provider):
    answer = ask(provider, "hello")
    equal((answer.type, answer.role, answer.stop_reason), ("message", "assistant", "end_turn"))
    equal(said(answer), SENTENCE)
    assert answer.id and answer.usage.input_tokens > 0, answer
    equal(answer.usage.output_tokens, len(SENTENCE.split()))


@check("anthropic: limit and stop sequence", CAPABLE)
def _(provider):
    short = ask(provider, "hello", max_tokens=3)
    equal((short.stop_reason, len(said(short).split())), ("max_tokens", 3))
    equal(said(ask(provider, "hello", stop_sequences=["toll"])), SENTENCE.partition("toll")[0])


@check("anthropic: stream", ALL)
def _(provider):
    with stream(provider, "hello") as events:
        equal("".join(events.text_stream), SENTENCE)
        final = events.get_final_message()
    equal((final.stop_reason, final.usage.output_tokens), ("end_turn", len(SENTENCE.split())))


@check("anthropic: events of a stream", ALL)
def _(provider):
    events = list(ask(provider, "hello", stream=True))
    kinds = list(dict.fromkeys(event.type for event in events if event.type != "ping"))
    equal(kinds, ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
                  "message_delta", "message_stop"])


@check("anthropic: tool, called and answered", ALL)
def _(provider):
    first = ask(provider, "please use a tool", tools=[WEATHER])
    equal(first.stop_reason, "tool_use")
    [call] = [block for block in first.content if block.type == "tool_use"]
    equal((call.name, call.input), ("get_weather", {"city": "a city"}))
    result = user([{"type": "tool_result", "tool_use_id": call.id, "content": "rain until noon"}])
    second = ask(provider, "please use a tool", returned(first), result, tools=[WEATHER])
    equal(said(second), "The tool said: rain until noon")


@check("anthropic: two tools, streamed", ALL)
def _(provider):
    with stream(provider, "two tools, please", tools=[WEATHER, TIME]) as events:
        final = events.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    equal([(call.name, call.input) for call in calls],
          [("get_weather", {"city": "a city"}), ("get_time", {"zone": "a zone"})])
    equal((final.stop_reason, len({call.id for call in calls})), ("tool_use", 2))


@check("anthropic: tool choice", ALL)
def _(provider):
    for choice, names in [({"type": "tool", "name": "get_time"}, ["get_time"]), ({"type": "any"}, ["get_weather"]),
                          ({"type": "none"}, [])]:
        answer = ask(provider, "hello", tools=[WEATHER, TIME], tool_choice=choice)
        equal([block.name for block in answer.content if block.type == "tool_use"], names)


@check("anthropic: thinking comes first", CAPABLE)
def _(provider):
    answer = ask(provider, "hello", **THINKING)
    # A seal on what follows the thoughts comes as a thought without words.
    equal(list(dict.fromkeys(block.type for block in answer.content)), ["thinking", "text"])
    assert answer.content[0].thinking.startswith("First I look at the papers"), answer


@check("anthropic: sealed thinking goes back as it came", ALL)
def _(provider):
    with stream(provider, "think, then use a tool", tools=[WEATHER], **THINKING) as events:
        first = events.get_final_message()
    call = first.content[-1]
    assert first.content[0].type in ("thinking", "redacted_thinking") and call.type == "tool_use", first
    result = user([{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}])
    # The scripted provider of this dialect refuses a seal that has changed by a byte.
    second = ask(provider, "think, then use a tool", returned(first), result, tools=[WEATHER], **THINKING)
    equal(said(second), "The tool said: rain")


@check("anthropic: system with cache control", ("anthropic", "openai", "answers", "studio", "bedrock"))
def _(provider):
    system = [{"type": "text", "text": "be brief " * 50, "cache_control": {"type": "ephemeral"}}]
    usage = ask(provider, "hello [[kit input=40 cached=30]]", system=system).usage
    equal((usage.input_tokens, usage.cache_read_input_tokens), (10, 30))


@check("anthropic: picture", ALL)
def _(provider):
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "what is this?"}]
    equal(said(ask(provider, user(parts))), "I see 1 image.")


@check("anthropic: tokens are counted", ("anthropic",))
def _(provider):
    counted = client().messages.count_tokens(model=WORLD.model(provider), messages=[user("hello [[kit input=123]]")])
    equal(counted.input_tokens, 123)


@check("anthropic: errors have their class", ALL)
def _(provider):
    for status, kind in [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (500, anthropic.APIStatusError)]:
        error = raises(kind, lambda: ask(provider, f"[[kit status={status}]]"))
        assert error.response.headers["x-request-id"], error.response.headers
        assert f"scripted status {status}" in str(error), error
        raises(kind, lambda: list(ask(provider, f"[[kit status={status}]]", stream=True)))


@check("anthropic: wrong key and unknown model")
def _():
    wrong = client("sk-not-the-key-of-this-house")
    raises(anthropic.AuthenticationError, lambda: wrong.models.list())
    given = {"max_tokens": 9, "messages": [user("hello")]}
    raises(anthropic.NotFoundError, lambda: client().messages.create(model="no-such-model", **given))


@check("anthropic: key in either header")
def _():
    by_header = client(default_headers={"x-api-key": WORLD.key, "authorization": anthropic.omit})
    given = {"model": WORLD.model("anthropic"), "max_tokens": 99, "messages": [user("hello")]}
    equal(said(by_header.messages.create(**given)), SENTENCE)
    by_bearer = anthropic.Anthropic(base_url=WORLD.url, auth_token=WORLD.key, max_retries=0)
    equal(said(by_bearer.messages.create(**given)), SENTENCE)


@check("anthropic: a stream cut short is an error", ALL)
def _(provider):
    def consume():
        with stream(provider, "[[kit cut-after=6 flush]]") as events:
            return list(events)
    raises(anthropic.APIError, consume)


@check("anthropic: list of models")
def _():
    names = {model.id for model in client().models.list()}
    assert "anthropic/kit-large" in names, names
