"""The Google SDK for Python: to a provider of its own dialect, and to those of others."""

import base64

from google import genai
from google.genai import errors, types

from harness import check, equal, raises
from openai_sdk import Traveller
from samples import PICTURE, SENTENCE
from world import WORLD

ALL = ("studio", "openai", "anthropic", "answers")
WEATHER = types.Tool(function_declarations=[types.FunctionDeclaration(
    name="get_weather", description="Weather of a city",
    parameters={"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]})])
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)

def models(key=None):
    options = types.HttpOptions(base_url=WORLD.url, timeout=20_000, api_version="v1beta")
    # Without a reference to the client its connections are closed.
    models.client = genai.Client(api_key=key or WORLD.key, http_options=options)
    return models.client.models

def ask(provider, contents, **config):
    config = types.GenerateContentConfig(automatic_function_calling=BY_HAND, **config)
    return models().generate_content(model=WORLD.model(provider), contents=contents, config=config)

def stream(provider, contents, **config):
    config = types.GenerateContentConfig(automatic_function_calling=BY_HAND, **config)
    return list(models().generate_content_stream(model=WORLD.model(provider), contents=contents, config=config))

def calls(chunks):
    return [(call.name, call.args) for chunk in chunks for call in chunk.function_calls or []]

@check("google: answer", ALL)
def _(provider):
    answer = ask(provider, "hello", system_instruction="be brief")
    equal((answer.text, answer.candidates[0].finish_reason), (SENTENCE, types.FinishReason.STOP))
    assert answer.usage_metadata.prompt_token_count > 0, answer.usage_metadata
    equal(answer.usage_metadata.candidates_token_count, len(SENTENCE.split()))

@check("google: stream", ALL)
def _(provider):
    chunks = stream(provider, "hello")
    equal("".join(chunk.text or "" for chunk in chunks), SENTENCE)
    equal(chunks[-1].candidates[0].finish_reason, types.FinishReason.STOP)
    equal(chunks[-1].usage_metadata.candidates_token_count, len(SENTENCE.split()))

@check("google: tool, called and answered", ALL)
def _(provider):
    asked = types.UserContent("please use a tool")
    first = ask(provider, [asked], tools=[WEATHER])
    equal(calls([first]), [("get_weather", {"city": "a city"})])
    call = first.function_calls[0]
    told = types.FunctionResponse(id=call.id, name=call.name, response={"result": "rain until noon"})
    result = types.Content(role="user", parts=[types.Part(function_response=told)])
    second = ask(provider, [asked, first.candidates[0].content, result], tools=[WEATHER])
    equal(second.text, "The tool said: rain until noon")

@check("google: two tools, streamed", ALL)
def _(provider):
    equal(calls(stream(provider, "two tools, please", tools=[WEATHER])), [("get_weather", {"city": "a city"})] * 2)

@check("google: thoughts go back sealed", ALL)
def _(provider):
    asked = types.UserContent("think, then use a tool")
    thinking = {"thinking_config": types.ThinkingConfig(include_thoughts=True, thinking_level="LOW"), "tools": [WEATHER]}
    first = ask(provider, [asked], **thinking)
    thoughts = "".join(part.text for part in first.candidates[0].content.parts if part.thought and part.text)
    # The Responses API tells no thoughts unless asked in a way of its own.
    assert provider == "answers" or thoughts.startswith("First I look at the papers"), first
    call = first.function_calls[0]
    told = types.FunctionResponse(id=call.id, name=call.name, response={"result": "rain"})
    result = types.Content(role="user", parts=[types.Part(function_response=told)])
    # The scripted provider refuses a seal that has changed by a byte.
    second = ask(provider, [asked, first.candidates[0].content, result], **thinking)
    assert second.text.endswith("The tool said: rain"), second


@check("google: structured output", ALL)
def _(provider):
    answer = ask(provider, "who comes?", response_mime_type="application/json", response_schema=Traveller)
    equal(answer.parsed, Traveller(name="a name", papers=["a papers"], age=7))

@check("google: picture", ALL)
def _(provider):
    picture = types.Part.from_bytes(data=base64.b64decode(PICTURE), mime_type="image/png")
    equal(ask(provider, ["what is this?", picture]).text, "I see 1 image.")

@check("google: errors have their class", ALL)
def _(provider):
    for status, kind in [(400, errors.ClientError), (429, errors.ClientError), (500, errors.ServerError)]:
        for way in [ask, stream]:
            error = raises(kind, lambda: way(provider, f"[[kit status={status}]]"))
            assert f"scripted status {status}" in error.message, error

@check("google: wrong key and unknown model")
def _():
    raises(errors.ClientError, lambda: models("sk-not-the-key-of-this-house").generate_content(
        model=WORLD.model("studio"), contents="hello"))
    error = raises(errors.ClientError, lambda: models().generate_content(model="no-such-model", contents="hello"))
    equal((error.code, error.status), (404, "NOT_FOUND"))

@check("google: tokens are counted", ("studio",))
def _(provider):
    counted = models().count_tokens(model=WORLD.model(provider), contents="hello [[kit input=123]]")
    equal(counted.total_tokens, 123)
