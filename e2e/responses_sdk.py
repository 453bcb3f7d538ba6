"""The OpenAI SDK for Python: the Responses API, and the older operations beside chat."""

import json

import openai

from harness import check, equal, raises
from openai_sdk import Traveller, client
from samples import PICTURE, SENTENCE, data_url
from world import WORLD

ALL = ("answers", "plain", "anthropic", "studio")
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                   "additionalProperties": False},
    "strict": True,
}


def ask(provider, given, **more):
    return client().responses.create(model=WORLD.model(provider), input=given, **more)


@check("responses: answer", ALL)
def _(provider):
    answer = ask(provider, "hello", instructions="be brief")
    equal((answer.object, answer.status, answer.output_text), ("response", "completed", SENTENCE))
    equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens)


@check("responses: stream", ALL)
def _(provider):
    with client().responses.stream(model=WORLD.model(provider), input="hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), SENTENCE)
    equal((events[0].type, events[-1].type), ("response.created", "response.completed"))
    equal([event.sequence_number for event in events], list(range(len(events))))
    equal((final.output_text, final.usage.output_tokens), (SENTENCE, len(SENTENCE.split())))


@check("responses: tool, called and answered", ALL)
def _(provider):
    asked = {"role": "user", "content": "please use a tool"}
    first = ask(provider, [asked], tools=[WEATHER], store=False)
    [call] = [item for item in first.output if item.type == "function_call"]
    equal((call.name, json.loads(call.arguments)), ("get_weather", {"city": "a city"}))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain until noon"}
    returned = [item.to_dict() for item in first.output]
    second = ask(provider, [asked, *returned, result], tools=[WEATHER], store=False)
    equal(second.output_text, "The tool said: rain until noon")


@check("responses: two tools, streamed", ALL)
def _(provider):
    with client().responses.stream(model=WORLD.model(provider), input="two tools, please", tools=[WEATHER]) as stream:
        list(stream)
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    equal([(call.name, json.loads(call.arguments)) for call in calls], [("get_weather", {"city": "a city"})] * 2)
    equal(len({call.call_id for call in calls}), 2)


@check("responses: thoughts go back sealed", ("answers", "anthropic"))
def _(provider):
    asked = {"role": "user", "content": "think, then use a tool"}
    more = {"tools": [WEATHER], "reasoning": {"effort": "low", "summary": "auto"}, "store": False,
            "include": ["reasoning.encrypted_content"]}
    first = ask(provider, [asked], **more)
    equal([item.type for item in first.output], ["reasoning", "function_call"])
    assert first.output[0].summary[0].text.startswith("First I look at the papers"), first.output[0]
    result = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": "rain"}
    # The scripted provider refuses a seal that has changed by a byte.
    second = ask(provider, [asked, *[item.to_dict() for item in first.output], result], **more)
    equal(second.output_text, "The tool said: rain")


@check("responses: structured output", ALL)
def _(provider):
    answer = client().responses.parse(model=WORLD.model(provider), input="who comes?", text_format=Traveller)
    equal(answer.output_parsed, Traveller(name="a name", papers=["a papers"], age=7))


@check("responses: picture", ALL)
def _(provider):
    parts = [{"type": "input_text", "text": "what is this?"},
             {"type": "input_image", "image_url": data_url(PICTURE), "detail": "auto"}]
    equal(ask(provider, [{"role": "user", "content": parts}]).output_text, "I see 1 image.")


@check("responses: a limit leaves the answer incomplete", ALL)
def _(provider):
    answer = ask(provider, "hello [[kit words=40]]", max_output_tokens=20)
    equal((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))
    equal(len(answer.output_text.split()), 20)


@check("responses: errors have their class", ALL)
def _(provider):
    for status, kind in [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.APIStatusError)]:
        for stream in [False, True]:
            error = raises(kind, lambda: ask(provider, f"[[kit status={status}]]", stream=stream))
            assert error.request_id and f"scripted status {status}" in error.message, error


@check("responses: a stream cut short is an error", ALL)
def _(provider):
    def consume():
        events = list(ask(provider, "[[kit cut-after=8 flush]]", stream=True))
        kinds = [event.type for event in events]
        assert "response.completed" not in kinds, kinds
        [failed] = [event for event in events if event.type in ("response.failed", "error")]
        raise openai.APIError(str(failed), request=None, body=None)
    raises(openai.APIError, consume)


@check("completions: text, whole and streamed", ("openai",))
def _(provider):
    given = {"model": WORLD.model(provider), "prompt": "hello", "max_tokens": 99}
    whole = client().completions.create(**given)
    equal((whole.object, whole.choices[0].text, whole.choices[0].finish_reason), ("text_completion", SENTENCE, "stop"))
    chunks = list(client().completions.create(**given, stream=True))
    equal("".join(choice.text for chunk in chunks for choice in chunk.choices), SENTENCE)
    raises(openai.RateLimitError, lambda: client().completions.create(**given | {"prompt": "[[kit status=429]]"}))


@check("embeddings: as numbers and in base64", ("openai",))
def _(provider):
    def vectors(**more):
        return client().embeddings.create(model=WORLD.model(provider), input=["one", "two"], dimensions=8, **more).data
    by_default, numbers = vectors(), vectors(encoding_format="float")
    equal([len(one.embedding) for one in by_default], [8, 8])
    pairs = [pair for one, other in zip(by_default, numbers) for pair in zip(one.embedding, other.embedding)]
    assert all(abs(x - y) < 1e-6 for x, y in pairs), pairs
    raises(openai.RateLimitError, lambda: client().embeddings.create(
        model=WORLD.model(provider), input="[[kit status=429]]"))
