"""Two turns of the Responses API over one WebSocket: pip install websockets."""

import json
import os

from websockets.sync.client import connect

base_url = os.environ.get("OPENAI_BASE_URL", "http://localhost:8080/openai/v1")
previous = None
with connect(base_url.replace("http", "ws", 1) + "/responses") as socket:
    for question in ("Hello", "And then?"):
        turn = {"type": "response.create", "model": "gpt-4o", "input": question, "store": False}
        socket.send(json.dumps(turn | ({"previous_response_id": previous} if previous else {})))
        while (event := json.loads(socket.recv()))["type"] != "response.completed":
            print(event.get("delta", ""), end="", flush=True)
        previous = event["response"]["id"]
        print(f"\n{event['response']['usage']['output_tokens']} tokens")
