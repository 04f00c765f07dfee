> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":503,"error":{"type":"server_error","code":"server_overloaded","message":"The engine is currently overloaded, please try again later. (simulated by llmsim)","param":null},"headers":{"retry-after":"2","retry-after-ms":"1500"}}

