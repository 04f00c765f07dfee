"""Event loop, sockets and processes: what runs a request, in the order in which a request meets it.

1. `master.Master` starts and reloads the workers under gunicorn; `listeners.Listeners` holds a listening socket for each.
2. `worker.Worker` is one process: uvicorn with uvloop. `loop_monitor.LoopMonitor` watches its event loop. `protocol.Protocol` and
   `websocket_protocol.WebSocketProtocol` parse what comes, within the budgets of what a client may send (`budgets` chooses them); the
   worker's `body_budget.BodyBudget` is the sum of all bodies. `rejections.Rejections` answers what reaches no endpoint.
3. `asgi.Application` is what uvicorn calls: it opens a channel (`channels.DirectChannel` or `AsgiChannel`) with an
   `active_request.ActiveRequest`, which books the request.
4. `app.create_app` routes it to an endpoint: `http.HttpGeneration` or `http.resource_responder`, `websocket.WebSocketGeneration`,
   or the `admin_api`. `bodies.BodyReader` reads the body. They read it into an `IncomingRequest`.
5. `generation.GenerationService` runs it: parse, plan, render, send, settle. It reads `controls.RequestControls`, asks the
   `worker_context.WorkerContext` for what depends on shared state, `script_player.ScriptPlayer` for the turns of scripts, and writes
   the journal by `journal_writer.JournalWriter`.
6. `replies.ReplyBuilder` completes the head of the response; `pacing.PacedStream` says what is due of a stream, and
   `pacing.TimerWheel` when.
"""
