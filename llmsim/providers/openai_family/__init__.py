"""Code that the OpenAI-shaped APIs share: error bodies, Responses, obfuscation, logprobs and strict schemas."""
