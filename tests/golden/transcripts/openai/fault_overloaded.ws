> GET /openai/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":503,"error":{"message":"The engine is currently overloaded, please try again later. (simulated by llmsim)","type":"server_error","param":null,"code":"server_overloaded"},"headers":{"retry-after":"2","retry-after-ms":"1500"}}

