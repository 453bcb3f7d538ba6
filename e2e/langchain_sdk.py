"""LangChain, by each of its clients: to providers of other dialects than the client's."""

import os

from harness import check, equal
from samples import SENTENCE
from world import WORLD

# It would report to its makers.
os.environ.update(LANGCHAIN_TRACING_V2="false", LANGSMITH_TRACING="false")

from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_google_genai import ChatGoogleGenerativeAI  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLIENTS = {
    "openai": lambda model: ChatOpenAI(model=model, base_url=f"{WORLD.url}/v1", api_key=WORLD.key, max_retries=0),
    "openai responses": lambda model: ChatOpenAI(
        model=model, base_url=f"{WORLD.url}/v1", api_key=WORLD.key, max_retries=0, use_responses_api=True),
    "anthropic": lambda model: ChatAnthropic(
        model=model, base_url=WORLD.url, api_key=WORLD.key, max_retries=0, max_tokens=200),
    "google": lambda model: ChatGoogleGenerativeAI(
        model=model, base_url=WORLD.url, google_api_key=WORLD.key, max_retries=1),
}
OTHERS = [("openai", "anthropic"), ("openai", "studio"), ("openai responses", "plain"), ("anthropic", "openai"),
          ("google", "openai")]


def works(client, provider):
    model = CLIENTS[client](WORLD.model(provider))
    answer = model.invoke("hello")
    equal((answer.text, answer.usage_metadata["output_tokens"]), (SENTENCE, len(SENTENCE.split())))
    equal("".join(chunk.text for chunk in model.stream("hello")), SENTENCE)
    with_tools = model.bind_tools([WEATHER])
    called = with_tools.invoke("please use a tool")
    [call] = called.tool_calls
    equal((call["name"], call["args"]), ("get_weather", {"city": "a city"}))
    result = {"role": "tool", "tool_call_id": call["id"], "content": "rain until noon"}
    told = with_tools.invoke([{"role": "user", "content": "please use a tool"}, called, result])
    equal(told.text, "The tool said: rain until noon")
    try:
        model.invoke("[[kit status=400]]")
    except Exception as error:  # Each client has a class of its own.
        assert "scripted status 400" in str(error), error
    else:
        raise AssertionError("the provider's error was not raised")


for client, provider in OTHERS:
    check(f"langchain: {client}", (provider,))(lambda provider, client=client: works(client, provider))
