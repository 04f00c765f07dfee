// Stream with the Vercel AI SDK: npm install ai @ai-sdk/openai; npx tsx typescript_vercel_ai.ts
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";

const openai = createOpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? "http://localhost:8080/openai/v1",
  apiKey: process.env.OPENAI_API_KEY ?? "any",
});

async function main() {
  const result = streamText({ model: openai("gpt-4o"), prompt: "Say something." });
  for await (const text of result.textStream) {
    process.stdout.write(text);
  }
  console.log(`\n${(await result.usage).outputTokens} tokens`);
}

main();
