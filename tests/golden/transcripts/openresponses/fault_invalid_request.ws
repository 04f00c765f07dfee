> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"invalid_request","message":"The request is invalid. (simulated by llmsim)","param":null}}

