> GET /openresponses/v1/responses
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: <accept>
date: <date>
> {"type":"response.create","model":"gpt-5","input":"Hello"}
< {"type":"error","status":400,"error":{"type":"invalid_request","code":"script_not_found","message":"x-llmsim-script: no script 'play' is loaded, nor is any other; load it with PUT /llmsim/scripts/NAME, or leave the name out (llmsim)","param":null}}

