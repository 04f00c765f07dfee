> GET /openai/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":418,"error":{"message":"Teapot","type":"invalid_request_error","param":null,"code":"invalid_request"}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":429,"error":{"message":"Rate limit reached for requests. Please try again later. (simulated by llmsim)","type":"requests","param":null,"code":"rate_limit_exceeded"},"headers":{"retry-after":"1","retry-after-ms":"250"}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":503,"error":{"message":"Full","type":"server_error","param":null,"code":"server_overloaded"},"headers":{"retry-after":"1","retry-after-ms":"1000"}}

> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":504,"error":{"message":"The request timed out. (simulated by llmsim)","type":"timeout_error","param":null,"code":"timeout"}}

