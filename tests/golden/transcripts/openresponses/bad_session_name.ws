> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"invalid_value","message":"x-llmsim-session: wanted a name of 1 to 200 printable characters","param":"x-llmsim-session"}}

< close 1008
