"""Event loop, sockets and processes: what runs a request, in the order in which a request meets it.

1. `processes`: `Master` starts and reloads the workers under gunicorn, `Listeners` holds a listening socket for each. `Worker` is one
   process, uvicorn with uvloop; `LoopMonitor` watches its event loop.
2. `transport`: `Protocol` and `WebSocketProtocol` parse what comes, within the budgets of what a client may send (`protocols` chooses
   them). `BodyReader` reads a body; the worker's `BodyBudget` is the sum of all. `Rejections` answers what reaches no endpoint.
3. `asgi.Application` is what uvicorn calls: it opens a channel (`direct_channel.DirectChannel` or `channels.AsgiChannel`) with an
   `active_request.ActiveRequest`, which books the request.
4. The `access` package (`Guard`, `CorsPolicy`, `ApiKeys`) says whether it is routed. A generating request that has come whole goes
   straight to its `http.HttpGeneration`; all others are routed by Falcon, in `app.create_routes`: to the same endpoints, to
   `http.resource_responder`, `websocket.WebSocketGeneration`, `operations`, the `dashboard` or the `admin_api`. They are read into
   an `IncomingRequest`.
5. `generation.GenerationService` runs it: parse, plan, render, send, settle. It reads `controls.RequestControls`, asks the
   `worker_context.WorkerContext` for what depends on shared state, `script_player.ScriptPlayer` for the turns of scripts, and writes
   the journal by `journal_writer.JournalWriter`.
6. `replies.ReplyBuilder` completes the head of the response; `pacing.PacedStream` says what is due of a stream, and
   `pacing.TimerWheel` when.
"""
