// Streams one answer with the Vercel AI SDK for each line of standard input: an API and the name of a session.
import { createInterface } from "node:readline";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { jsonSchema, streamText, tool } from "ai";

const base = process.argv[2];
const go = tool({ description: "Go.", inputSchema: jsonSchema({ type: "object", properties: { to: { type: "string" } } }) });

function modelOf(api, headers) {
  if (api === "anthropic") {
    return createAnthropic({ baseURL: `${base}/anthropic/v1`, apiKey: "any", headers })("claude-sonnet-4-5");
  }
  const openai = createOpenAI({ baseURL: `${base}/openai/v1`, apiKey: "any", headers });
  return api === "chat" ? openai.chat("gpt-4o") : openai.responses("gpt-4o");
}

async function run(api, session) {
  const headers = { "x-llmsim-script": "played", "x-llmsim-session": session };
  const found = { text: "", arguments: "", error: null };
  try {
    const abortSignal = AbortSignal.timeout(20_000);
    const result = streamText({
      model: modelOf(api, headers), prompt: "Hello", tools: { go }, maxRetries: 0, abortSignal, onError() {},
    });
    for await (const part of result.fullStream) {
      if (part.type === "text-delta") found.text += part.text;
      if (part.type === "tool-call") found.arguments = typeof part.input === "string" ? part.input : JSON.stringify(part.input);
      if (part.type === "error" && found.error === null) found.error = part.error?.name ?? "Error";
    }
  } catch (error) {
    found.error = error.name;
  }
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [api, session] = line.split(" ");
  console.log(JSON.stringify(await run(api, session)));
}
