// Vercel's AI SDK, by one of its providers: against BASE with KEY and MODEL. Ends well or throws.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const { BASE, KEY, MODEL } = process.env;
const given = { baseURL: `${BASE}/v1`, apiKey: KEY };
const models = {
  openai: () => createOpenAI(given)(MODEL),
  "openai-chat": () => createOpenAI(given).chat(MODEL),
  compatible: () => createOpenAICompatible({ ...given, name: "sekisho", includeUsage: true })(MODEL),
  anthropic: () => createAnthropic(given)(MODEL),
  google: () => createGoogleGenerativeAI({ ...given, baseURL: `${BASE}/v1beta` })(MODEL),
};
const more = { model: models[process.argv[2]](), maxRetries: 0 };
const inputSchema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false });
const get_weather = tool({ description: "Weather of a city", inputSchema, execute: async ({ city }) => `rain in ${city}` });

const whole = await generateText({ ...more, prompt: "hello" });
assert.match(whole.text, /^the 関所 reads .* its gates$/);
assert.equal(whole.usage.outputTokens, 12);

let failure;
const onError = ({ error }) => { failure = error; };
const stream = streamText({ ...more, prompt: "hello", onError });
let text = "";
for await (const piece of stream.textStream) text += piece;
assert.equal(failure, undefined);
assert.equal(text, whole.text);
assert.equal(await stream.finishReason, "stop");

const loop = { ...more, prompt: "please use a tool", tools: { get_weather }, stopWhen: stepCountIs(3) };
assert.match((await generateText(loop)).text, /^The tool said: .*rain in a city/);
assert.match(await streamText(loop).text, /^The tool said: .*rain in a city/);

await assert.rejects(generateText({ ...more, prompt: "[[kit status=400]]" }), (error) => {
  assert.ok(APICallError.isInstance(error), String(error));
  assert.match(error.message, /scripted status 400/);
  return true;
});
