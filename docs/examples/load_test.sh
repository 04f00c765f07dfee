#!/bin/sh
# A load test of a running server, with limits that decide about the exit code: pip install 'llmsim[load]'.
set -eu
llmsim loadtest smoke --duration "${SECONDS_OF_LOAD:-10}" --host "${LLMSIM_URL:-http://localhost:8080}" \
  --endpoints chat,messages --model gpt-4o --gate error_percent=0 --gate ttft_p95_ms=1500 --gate e2e_p95_ms=6000
