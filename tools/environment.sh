#!/bin/sh
# Makes a virtual environment with this project in it, or brings it up to date; does nothing where it is.
# usage: tools/environment.sh FOLDER PYTHON EXTRAS [pip's options: -c FILE ...]
set -eu
folder=$1 python=$2 extras=$3
shift 3

say() { printf 'warren: %s\n' "$*" >&2; }

pip() {
    # pip's own report is shown only where it failed.
    log=$folder/pip.log
    "$folder/bin/python" -m pip install --no-input --disable-pip-version-check "$@" >"$log" 2>&1 </dev/null && return 0
    grep -E '^ *(ERROR|error)' "$log" | head -n 20 >&2 || tail -n 20 "$log" >&2
    return 1
}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making $folder with $("$python" --version 2>&1)"
    if ! message=$("$python" -m venv --clear "$folder" 2>&1); then
        say "$folder could not be made with $python: $message"
        exit 1
    fi
fi

# The stamp holds a digest of all that decides what is installed, and is written last.
stamp=$folder/installed-$(printf '%s' "$extras" | tr ',' '-')
key=$("$folder/bin/python" - "$0" "$PWD" "$@" <<'KEY'
import glob, hashlib, pathlib, sys
digest = hashlib.sha256(repr(sys.argv[2:]).encode() + sys.version.encode())
for path in (sys.argv[1], "pyproject.toml", *sorted(glob.glob("requirements/*.txt"))):
    digest.update(pathlib.Path(path).read_bytes())
print(digest.hexdigest())
KEY
)
[ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && exit 0

say "installing warren[$extras] into $folder"
case ,$extras, in *,digits,* | *,torch,* | *,zoo,*)
    # Asked for alone and first, so that the range in pyproject.toml does not fetch another build of it afterwards.
    if ! "$folder/bin/python" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null \
        && ! pip -r requirements/torch.txt; then
        say "the CPU build of PyTorch ($(grep '^torch' requirements/torch.txt)) could not be installed;" \
            "install any torch that pyproject.toml allows with '$folder/bin/python -m pip install' and run make again"
        exit 1
    fi
esac
if ! pip -c requirements/ci.txt "$@" -e ".[$extras]"; then
    say "warren[$extras] could not be installed into $folder (all of pip's report: $folder/pip.log)"
    exit 1
fi
printf '%s\n' "$key" >"$stamp"
