> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"response.created","response":{"id":"resp_<id 1>","object":"response","created_at":<time>,"status":"in_progress","completed_at":null,"error":null,"incomplete_details":null,"model":"gpt-5","output":[],"service_tier":"auto","usage":null,"background":false,"frequency_penalty":0.0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","user":null,"metadata":{}},"sequence_number":0}
< {"type":"response.in_progress","response":{"id":"resp_<id 1>","object":"response","created_at":<time>,"status":"in_progress","completed_at":null,"error":null,"incomplete_details":null,"model":"gpt-5","output":[],"service_tier":"auto","usage":null,"background":false,"frequency_penalty":0.0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","user":null,"metadata":{}},"sequence_number":1}
< {"type":"response.output_item.added","item":{"id":"msg_<id 1>00","type":"message","status":"in_progress","content":[],"role":"assistant"},"output_index":0,"sequence_number":2}
< {"type":"response.content_part.added","item_id":"msg_<id 1>00","content_index":0,"output_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""},"sequence_number":3}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>00","content_index":0,"output_index":0,"logprobs":[],"delta":"One","obfuscation":"Tz4Rn9Ws2YcVf","sequence_number":4}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>00","content_index":0,"output_index":0,"logprobs":[],"delta":" two","obfuscation":"s2YcVf5HgJm8","sequence_number":5}
< close 1011 Internal Server Error
