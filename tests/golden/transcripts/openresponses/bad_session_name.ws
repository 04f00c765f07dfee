> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"invalid_value","message":"x-llmsim-session: wanted a name of 1 to 200 printable characters, found 201; the first 200 of them would do","param":"x-llmsim-session"}}

< close 1008
