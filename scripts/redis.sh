# Sourced by scripts/test: installs Debian's redis-server where it is missing and may be installed.

# redis_ready: the tests of several hosts need the server. Without it they are skipped, and fail where CI=true.
redis_ready() {
  if command -v redis-server >/dev/null || command -v valkey-server >/dev/null; then
    return 0
  fi
  local log="" become=()
  if [[ ${CI:-} == true && $(id -u) -ne 0 ]]; then
    become=(sudo -n)
  fi
  if command -v apt-get >/dev/null && { [[ $(id -u) -eq 0 ]] || ((${#become[@]})); }; then
    echo "Installing redis-server" >&2
    # A package may start its server: nothing here is to listen on its port.
    log=$({ timeout 120 "${become[@]}" apt-get update -q && timeout 300 "${become[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -q --no-install-recommends redis-server; } 2>&1) || echo "${log##*$'\n'}" >&2
  fi
  if ! command -v redis-server >/dev/null; then
    echo "redis-server is not installed: tests of several hosts are skipped (with CI=true they fail). Debian: apt-get install redis-server" >&2
  fi
}
