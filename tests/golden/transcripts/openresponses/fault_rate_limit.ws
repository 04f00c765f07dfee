> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":429,"error":{"type":"too_many_requests","code":"rate_limit_exceeded","message":"Rate limit reached for requests. Please try again later. (simulated by llmsim)","param":null},"headers":{"retry-after":"2","retry-after-ms":"1500"}}

