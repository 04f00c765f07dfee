> GET /openai/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
< {"type":"error","status":400,"error":{"message":"x-llmsim-session: wanted a name of 1 to 200 printable characters, found 201; the first 200 of them would do","type":"invalid_request_error","param":"x-llmsim-session","code":"invalid_value"}}

< close 1008
