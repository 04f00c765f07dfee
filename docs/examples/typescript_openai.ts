// Stream a chat completion: npm install openai; npx tsx typescript_openai.ts
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? "http://localhost:8080/openai/v1",
  apiKey: process.env.OPENAI_API_KEY ?? "any",
});

async function main() {
  const stream = await client.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: "Say something." }],
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
    if (chunk.usage) {
      console.log(`\n${chunk.usage.completion_tokens} tokens`);
    }
  }
}

main();
