#!/bin/sh
# Prints the path of the first Python, of those named, that runs, is 3.10 or newer and can make virtual environments.
# usage: tools/find_python.sh python3.11 python3 ...        (exit status 1 and no output when there is none)
set -eu

works() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

for name in "$@"; do
    found=$(
        IFS=:
        for folder in $PATH; do printf '%s\n' "$folder/$name"; done
        # Versions that pyenv has installed but not made current: on the path they are shims that refuse.
        for file in "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin/"$name"; do printf '%s\n' "$file"; done
    )
    while IFS= read -r candidate; do
        if [ -x "$candidate" ] && works "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            exit 0
        fi
    done <<LIST
$found
LIST
done
exit 1
