> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":401,"error":{"type":"invalid_request","code":"invalid_api_key","message":"Incorrect API key provided. (simulated by llmsim)","param":null}}

