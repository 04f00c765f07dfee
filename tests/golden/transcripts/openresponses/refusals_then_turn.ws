> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello","temperature":9}
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"decimal_above_max_value","message":"Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 9 instead.","param":"temperature"}}

> {"type":"response.fly"}
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"invalid_value","message":"Invalid value: 'response.fly'. Supported values are: 'response.create'.","param":"type"}}

> no JSON
< {"type":"error","status":400,"error":{"type":"invalid_request","code":null,"message":"We could not parse the JSON body of your request. [JSON is malformed: invalid character (byte 4)]","param":null}}

> []
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"invalid_type","message":"Invalid type for 'body': expected an object, but got an empty array instead.","param":null}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"response.created","response":{"id":"resp_<id 1>","object":"response","created_at":<time>,"status":"in_progress","completed_at":null,"error":null,"incomplete_details":null,"model":"gpt-5","output":[],"service_tier":"auto","usage":null,"background":false,"frequency_penalty":0.0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","user":null,"metadata":{}},"sequence_number":0}
< {"type":"response.in_progress","response":{"id":"resp_<id 1>","object":"response","created_at":<time>,"status":"in_progress","completed_at":null,"error":null,"incomplete_details":null,"model":"gpt-5","output":[],"service_tier":"auto","usage":null,"background":false,"frequency_penalty":0.0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","user":null,"metadata":{}},"sequence_number":1}
< {"type":"response.output_item.added","item":{"id":"rs_<id 1>00","type":"reasoning","status":"in_progress","content":[],"summary":[]},"output_index":0,"sequence_number":2}
< {"type":"response.output_item.done","item":{"id":"rs_<id 1>00","type":"reasoning","status":"completed","content":[],"summary":[]},"output_index":0,"sequence_number":3}
< {"type":"response.output_item.added","item":{"id":"msg_<id 1>01","type":"message","status":"in_progress","content":[],"role":"assistant"},"output_index":1,"sequence_number":4}
< {"type":"response.content_part.added","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""},"sequence_number":5}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"logprobs":[],"delta":"Ex","obfuscation":"Tz4Rn9Ws2YcVf5","sequence_number":6}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"logprobs":[],"delta":"erc","obfuscation":"s2YcVf5HgJm8P","sequence_number":7}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"logprobs":[],"delta":"itation","obfuscation":"HgJm8PdQx","sequence_number":8}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"logprobs":[],"delta":" culpa","obfuscation":"Qx1ByUa6Et","sequence_number":9}
< {"type":"response.output_text.delta","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"logprobs":[],"delta":".","obfuscation":"6EtKo3CiNwZrSvD","sequence_number":10}
< {"type":"response.output_text.done","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"logprobs":[],"text":"Exercitation culpa.","sequence_number":11}
< {"type":"response.content_part.done","item_id":"msg_<id 1>01","content_index":0,"output_index":1,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"Exercitation culpa."},"sequence_number":12}
< {"type":"response.output_item.done","item":{"id":"msg_<id 1>01","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Exercitation culpa."}],"role":"assistant"},"output_index":1,"sequence_number":13}
< {"type":"response.completed","response":{"id":"resp_<id 1>","object":"response","created_at":<time>,"status":"completed","completed_at":<time>,"error":null,"incomplete_details":null,"model":"gpt-5","output":[{"id":"rs_<id 1>00","type":"reasoning","status":"completed","content":[],"summary":[]},{"id":"msg_<id 1>01","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Exercitation culpa."}],"role":"assistant"}],"service_tier":"default","usage":{"input_tokens":8,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":0},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":15},"total_tokens":28},"background":false,"frequency_penalty":0.0,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"presence_penalty":0.0,"previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"store":true,"temperature":1.0,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","user":null,"metadata":{}},"sequence_number":14}
