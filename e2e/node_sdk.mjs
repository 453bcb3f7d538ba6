// The SDKs for Node: one action by name, against BASE with KEY and MODEL. Ends well or throws.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { BASE, KEY, MODEL: model } = process.env;
const openai = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const said = (content) => [{ role: "user", content }];
const shape = (member) => ({ type: "object", properties: { [member]: { type: "string" } }, required: [member] });
const tools = { get_weather: shape("city"), get_time: shape("zone") };
const called = [["get_weather", { city: "a city" }], ["get_time", { zone: "a zone" }]];
const spoken = /^the 関所 reads .* its gates$/;

const actions = {
  async openai() {
    const whole = await openai.chat.completions.create({ model, messages: said("hello") });
    assert.match(whole.choices[0].message.content, spoken);
    const stream = await openai.chat.completions.create({ model, messages: said("hello"), stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    assert.equal(text, whole.choices[0].message.content);
  },
  async "openai-tools"() {
    const functions = Object.entries(tools).map(([name, parameters]) => ({ type: "function", function: { name, parameters } }));
    const stream = openai.chat.completions.stream({ model, messages: said("two tools, please"), tools: functions });
    const { message } = (await stream.finalChatCompletion()).choices[0];
    assert.deepEqual(message.tool_calls.map(({ function: f }) => [f.name, JSON.parse(f.arguments)]), called);
  },
  async anthropic() {
    const whole = await anthropic.messages.create({ model, max_tokens: 99, messages: said("hello") });
    assert.match(whole.content[0].text, spoken);
    const stream = anthropic.messages.stream({ model, max_tokens: 99, messages: said("hello") });
    assert.equal(await stream.finalText(), whole.content[0].text);
  },
  async "anthropic-tools"() {
    const given = Object.entries(tools).map(([name, input_schema]) => ({ name, input_schema }));
    const stream = anthropic.messages.stream({ model, max_tokens: 99, messages: said("two tools, please"), tools: given });
    const { content } = await stream.finalMessage();
    assert.deepEqual(content.filter((block) => block.type === "tool_use").map((b) => [b.name, b.input]), called);
  },
};

await actions[process.argv[2]]();
