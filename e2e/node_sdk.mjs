// The SDKs for Node: one action by name, against BASE with KEY and MODEL. Ends well or throws.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const { BASE, KEY, MODEL: model } = process.env;
const openai = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: BASE } });
const said = (content) => [{ role: "user", content }];
const shape = (member) => ({ type: "object", properties: { [member]: { type: "string" } }, required: [member] });
const tools = { get_weather: shape("city"), get_time: shape("zone") };
const called = [["get_weather", { city: "a city" }], ["get_time", { zone: "a zone" }]];
const spoken = /^the 関所 reads .* its gates$/;
const two = "two tools, please";
const broken = "[[kit status=429]]";

// The call must fail with that class, and say what the provider said.
const fails = (kind, call) => assert.rejects(call, (error) => {
  assert.ok(error instanceof kind, `${error?.constructor.name}: ${error?.message}`);
  assert.match(error.message, /scripted status 429/);
  return true;
});

const actions = {
  async chat() {
    const whole = await openai.chat.completions.create({ model, messages: said("hello") });
    assert.match(whole.choices[0].message.content, spoken);
    const stream = await openai.chat.completions.create({ model, messages: said("hello"), stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    assert.equal(text, whole.choices[0].message.content);
    const functions = Object.entries(tools).map(([name, parameters]) => ({ type: "function", function: { name, parameters } }));
    const calling = openai.chat.completions.stream({ model, messages: said(two), tools: functions });
    const { message } = (await calling.finalChatCompletion()).choices[0];
    assert.deepEqual(message.tool_calls.map(({ function: f }) => [f.name, JSON.parse(f.arguments)]), called);
    await fails(OpenAI.RateLimitError, openai.chat.completions.create({ model, messages: said(broken) }));
  },
  async responses() {
    const whole = await openai.responses.create({ model, input: "hello" });
    assert.match(whole.output_text, spoken);
    const stream = openai.responses.stream({ model, input: "hello" });
    assert.equal((await stream.finalResponse()).output_text, whole.output_text);
    const functions = Object.entries(tools).map(([name, parameters]) => ({ type: "function", name, parameters, strict: false }));
    const calling = await openai.responses.stream({ model, input: two, tools: functions }).finalResponse();
    const calls = calling.output.filter((item) => item.type === "function_call");
    assert.deepEqual(calls.map((call) => [call.name, JSON.parse(call.arguments)]), called);
    await fails(OpenAI.RateLimitError, openai.responses.create({ model, input: broken }));
  },
  async embeddings() {
    const { data } = await openai.embeddings.create({ model, input: ["one", "two"], dimensions: 8 });
    assert.deepEqual(data.map(({ embedding }) => embedding.length), [8, 8]);
    assert.ok(data.every(({ embedding }) => Math.abs(Math.hypot(...embedding) - 1) < 1e-5), "of length one");
  },
  async anthropic() {
    const whole = await anthropic.messages.create({ model, max_tokens: 99, messages: said("hello") });
    assert.match(whole.content[0].text, spoken);
    const stream = anthropic.messages.stream({ model, max_tokens: 99, messages: said("hello") });
    assert.equal(await stream.finalText(), whole.content[0].text);
    const given = Object.entries(tools).map(([name, input_schema]) => ({ name, input_schema }));
    const calling = anthropic.messages.stream({ model, max_tokens: 99, messages: said(two), tools: given });
    const { content } = await calling.finalMessage();
    assert.deepEqual(content.filter((block) => block.type === "tool_use").map((b) => [b.name, b.input]), called);
    await fails(Anthropic.RateLimitError, anthropic.messages.create({ model, max_tokens: 99, messages: said(broken) }));
  },
  async google() {
    const whole = await google.models.generateContent({ model, contents: "hello" });
    assert.match(whole.text, spoken);
    let text = "";
    for await (const chunk of await google.models.generateContentStream({ model, contents: "hello" })) text += chunk.text ?? "";
    assert.equal(text, whole.text);
    const functionDeclarations = Object.entries(tools).map(([name, parametersJsonSchema]) => ({ name, parametersJsonSchema }));
    const config = { tools: [{ functionDeclarations }] };
    const calls = [];
    for await (const chunk of await google.models.generateContentStream({ model, contents: two, config })) calls.push(...(chunk.functionCalls ?? []));
    assert.deepEqual(calls.map((call) => [call.name, call.args]), called);
    await fails(ApiError, google.models.generateContent({ model, contents: broken }));
  },
};

await actions[process.argv[2]]();
