# Sourced by the other scripts: makes .venv, and installs what a script needs when that has changed.
#
# Any step may be interrupted: `.venv/.incomplete` is there from before the first change to .venv until after the last, and an
# environment that has it is made anew. Set-ups at the same time wait for each other.

# venv_ready NAME PIP_ARGUMENTS...: installs once for each NAME and state of pyproject.toml.
# With LOCKED=1 it installs what the lock files name, by hash, for whatever NAME.
venv_ready() {
  (
    # An interrupted pip may return like one that has failed: then the mark has to stay.
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if command -v flock >/dev/null && ! flock -n 9; then
      echo "Waiting for another set-up of .venv" >&2
      flock 9
    fi
    venv_make && venv_install "$@"
  ) 9<pyproject.toml
}

venv_supports() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

venv_make() {
  local python=${PYTHON:-} candidate
  if [[ -n $python ]] && ! venv_supports "$python"; then
    echo "PYTHON=$python: cannot be run, or is no Python 3.11 or newer" >&2
    return 1
  fi
  if [[ -x .venv/bin/python && ! -e .venv/.incomplete ]]; then
    return 0
  fi
  for candidate in python3.11 python3.12 python3.13 python3; do
    if [[ -z $python ]] && venv_supports "$candidate"; then
      python=$candidate
    fi
  done
  if [[ -z $python ]]; then
    echo "llmsim needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python" >&2
    return 1
  fi
  echo "Making .venv with $("$python" --version)" >&2
  mkdir -p .venv && touch .venv/.incomplete &&
    find .venv -mindepth 1 -maxdepth 1 ! -name .incomplete -exec rm -rf {} + &&
    "$python" -m venv .venv
}

venv_install() {
  local stamp=.venv/.installed-$1 code=0
  shift
  if [[ ! -e .venv/.incomplete ]] && cmp -s pyproject.toml "$stamp"; then
    return 0
  fi
  echo "Installing (a minute the first time)" >&2
  touch .venv/.incomplete || return
  .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >&2 || return
  if [[ -n ${LOCKED:-} ]]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
      -r requirements-build.lock -r requirements-dev.lock >&2 || code=$?
    set -- --no-deps --no-build-isolation -e .
  fi
  [[ $code -ne 0 ]] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" >&2 || code=$?
  # Without the network, or with a full disk, pip leaves the environment as it was.
  if [[ $code -lt 128 ]]; then
    [[ $code -ne 0 ]] || cp pyproject.toml "$stamp" || return
    rm .venv/.incomplete
  fi
  return "$code"
}
