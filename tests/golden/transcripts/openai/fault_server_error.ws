> GET /openai/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":500,"error":{"message":"The server had an error while processing your request. Sorry about that! (simulated by llmsim)","type":"server_error","param":null,"code":"server_error"}}

