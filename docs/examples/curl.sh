#!/bin/sh
# One request to each API, with curl.
set -eu
openai=${OPENAI_BASE_URL:-http://localhost:8080/openai/v1}
anthropic=${ANTHROPIC_BASE_URL:-http://localhost:8080/anthropic}

echo "chat completions, streamed:"
curl -sSfN "$openai/chat/completions" -H 'content-type: application/json' \
  -d '{"model": "gpt-4o", "stream": true, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}'

echo "responses:"
curl -sSf "$openai/responses" -H 'content-type: application/json' \
  -d '{"model": "gpt-4o", "max_output_tokens": 16, "input": "Hello"}'

echo "embeddings:"
curl -sSf "$openai/embeddings" -H 'content-type: application/json' \
  -d '{"model": "text-embedding-3-small", "dimensions": 4, "input": "Hello"}'

echo "messages:"
curl -sSf "$anthropic/v1/messages" -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' \
  -d '{"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}'
