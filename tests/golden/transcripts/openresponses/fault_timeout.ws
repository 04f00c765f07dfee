> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":504,"error":{"type":"model_error","code":"timeout","message":"The request timed out. (simulated by llmsim)","param":null}}

