#!/bin/sh
# Runs the tests on other versions of Python, without torch: the oldest that is supported with the oldest releases of
# what warren depends on, the others with the newest. A version that is not installed is named and left out. Tests that
# take real processes apart run on this Python only, unless WARREN_TEST_ALL is set.
# usage: tools/other_pythons.sh 3.10 3.13 ...       (after `.venv` has been made; the first is the oldest)
set -eu
oldest=${1:-}
chosen="not processes"
[ -z "${WARREN_TEST_ALL:-}" ] || chosen=

for version in "$@"; do
    if ! python=$(tools/find_python.sh "python$version"); then
        printf 'Python %s: not installed on this machine, left out\n' "$version"
        continue
    fi
    folder=.venv-$version
    if [ "$version" = "$oldest" ]; then
        .venv/bin/python tools/lowest.py >.venv/lowest.txt
        tools/environment.sh "$folder" "$python" test -c .venv/lowest.txt
        with="the oldest dependencies"
        # Old releases beside new ones of what they use themselves: that they warn of each other is not ours to mend.
        warnings="-W ignore::DeprecationWarning"
    else
        tools/environment.sh "$folder" "$python" test
        with="the newest dependencies"
        warnings=
    fi
    printf 'Python %s, %s, no torch\n' "$version" "$with"
    # Only failures are listed: what is skipped is what needs torch.
    # shellcheck disable=SC2086  # no word where there is none
    "$folder/bin/python" -m pytest -q -rfE -m "$chosen" $warnings -n "${JOBS:-2}" -p no:cacheprovider </dev/null
done
