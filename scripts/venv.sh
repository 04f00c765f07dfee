# Sourced by the other scripts: makes .venv, and installs what a script needs when that has changed.

# venv_ready NAME PIP_ARGUMENTS...: installs once for each NAME and state of pyproject.toml.
# With LOCKED=1 it installs what the lock files name, by hash, for whatever NAME.
venv_ready() {
  local name=$1 stamp python=
  shift
  if [[ ! -x .venv/bin/python ]]; then
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
      if [[ -n $candidate ]] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
      fi
    done
    if [[ -z $python ]]; then
      echo "llmsim needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python" >&2
      return 1
    fi
    echo "Making .venv with $("$python" --version)" >&2
    "$python" -m venv .venv
  fi
  stamp=.venv/.installed-$name
  if [[ ! -f $stamp ]] || ! cmp -s pyproject.toml "$stamp"; then
    echo "Installing (a minute the first time)" >&2
    if [[ -n ${LOCKED:-} ]]; then
      .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r requirements-build.lock -r requirements-dev.lock >&2
      set -- --no-deps --no-build-isolation -e .
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" >&2
    cp pyproject.toml "$stamp"
  fi
}
