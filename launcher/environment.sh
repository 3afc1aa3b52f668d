# Sourced by run, test and .ci/run, which set `root` to the checkout.
#
# prepare_environment LOCKFILE: make $root/.venv hold what the hashed lock names. When it
# already does, this costs one start of Python.

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    echo "Python 3.11 or newer with its venv module is needed, and none is on the PATH." >&2
    return 1
}

prepare_environment() {
    if [ -x "$root/.venv/bin/python" ] &&
        "$root/.venv/bin/python" -P "$root/launcher/environment.py" --check "$1" 2>/dev/null; then
        return 0
    fi
    python=$(find_python) || return 3
    "$python" -P "$root/launcher/environment.py" "$1"
}

# run_python ARGUMENTS: replace this shell by the environment's Python, our modules on its path.
run_python() {
    PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
    export PYTHONPATH
    exec "$root/.venv/bin/python" -P "$@"
}
