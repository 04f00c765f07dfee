> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":418,"error":{"type":"invalid_request","code":"invalid_request","message":"Teapot","param":null}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":429,"error":{"type":"too_many_requests","code":"rate_limit_exceeded","message":"Rate limit reached for requests. Please try again later. (simulated by llmsim)","param":null},"headers":{"retry-after":"1","retry-after-ms":"250"}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":503,"error":{"type":"server_error","code":"server_overloaded","message":"Full","param":null},"headers":{"retry-after":"1","retry-after-ms":"1000"}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":504,"error":{"type":"model_error","code":"timeout","message":"The request timed out. (simulated by llmsim)","param":null}}

