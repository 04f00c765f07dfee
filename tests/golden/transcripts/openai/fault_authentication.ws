> GET /openai/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":401,"error":{"message":"Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys. (simulated by llmsim)","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}

