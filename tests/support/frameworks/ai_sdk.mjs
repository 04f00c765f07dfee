// The AI SDK's providers for Google, Azure and OpenAI against a server, whose URL is the argument; prints what it tried.
import * as ai from "ai";
import { createAzure } from "@ai-sdk/azure";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { z } from "zod";
import assert from "node:assert";

const [url] = process.argv.slice(2);
const schema = z.object({ city: z.string(), degrees: z.number().int() });
const weather = ai.tool({
  description: "Get the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const asked = {
  prompt: "What is the weather in Paris?",
  tools: { weather },
  stopWhen: ai.stepCountIs(3),
  maxRetries: 0,
};

async function tryChat(name, model) {
  assert((await ai.generateText({ model, prompt: "Hello", maxRetries: 0 })).usage.outputTokens > 0);
  const whole = await ai.generateText({ model, ...asked });
  assert.deepEqual(whole.steps[0].toolCalls[0].input, { city: "Paris" });
  assert(whole.text);
  const streamed = ai.streamText({ model, ...asked });
  let deltas = 0;
  for await (const part of streamed.fullStream) {
    if (part.type === "error") throw part.error;
    deltas += part.type === "text-delta";
  }
  assert(deltas > 3 && (await streamed.steps).length === 2);
  const { object } = await ai.generateObject({ model, schema, prompt: "Paris?", maxRetries: 0 });
  assert(Math.abs(object.degrees) <= 100);
  const partial = ai.streamObject({ model, schema, prompt: "Paris?", maxRetries: 0 });
  for await (const _ of partial.partialObjectStream);
  schema.parse(await partial.object);
  console.log(name);
}

async function tryMedia(name, provider) {
  const picture = ai.generateImage ?? ai.experimental_generateImage;
  assert((await picture({ model: provider.imageModel("gpt-image-1"), prompt: "A cat" })).image.base64);
  const speech = await ai.experimental_generateSpeech({
    model: provider.speech("gpt-4o-mini-tts"),
    text: "Hello",
    outputFormat: "wav",
  });
  const audio = speech.audio.uint8Array;
  assert((await ai.experimental_transcribe({ model: provider.transcription("whisper-1"), audio })).text);
  const embedding = await ai.embed({ model: provider.textEmbeddingModel("text-embedding-3-small"), value: "a" });
  assert.equal(embedding.embedding.length, 1536);
  console.log(`${name} media`);
}

const google = createGoogleGenerativeAI({ baseURL: `${url}/gemini/v1beta`, apiKey: "any" });
await tryChat("google", google("gemini-2.5-flash"));
await tryChat("google 3", google("gemini-3-pro-preview"));
const vector = await ai.embed({ model: google.textEmbeddingModel("gemini-embedding-001"), value: "a" });
assert.equal(vector.embedding.length, 3072);
const azure = createAzure({ baseURL: `${url}/azure/openai/v1`, apiKey: "any" });
await tryChat("azure responses", azure.responses("gpt-4o"));
await tryMedia("azure", azure);
const deployments = { useDeploymentBasedUrls: true, apiVersion: "2025-03-01-preview" };
const older = createAzure({ baseURL: `${url}/azure/openai`, apiKey: "any", ...deployments });
await tryChat("azure deployments", older.chat("gpt-4o"));
const openai = createOpenAI({ baseURL: `${url}/openai/v1`, apiKey: "any" });
await tryChat("openai chat", openai.chat("gpt-4o"));
await tryChat("openai responses", openai("gpt-5"));
await tryMedia("openai", openai);
