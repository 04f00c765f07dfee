// Stream a message: npm install @anthropic-ai/sdk; npx tsx typescript_anthropic.ts
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  // Without /v1: the SDK adds it.
  baseURL: process.env.ANTHROPIC_BASE_URL ?? "http://localhost:8080/anthropic",
  apiKey: process.env.ANTHROPIC_API_KEY ?? "any",
});

async function main() {
  const stream = client.messages.stream({
    model: "claude-sonnet-4-6",
    max_tokens: 64,
    messages: [{ role: "user", content: "Say something." }],
  });
  stream.on("text", (text) => process.stdout.write(text));
  const message = await stream.finalMessage();
  console.log(`\n${message.usage.output_tokens} tokens`);
}

main();
