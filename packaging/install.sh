#!/bin/sh
# Installs fdsearch from the folder that holds this file, without a network: sh install.sh DIR
# DIR becomes an environment of its own. PYTHON names the interpreter; default is that of target.txt, from PATH.
# Exit codes are fdsearch's: 2 wrong call, 5 a file is not as it was packed, 6 DIR is in use, 7 the box lacks something.
set -eu

fail() {
    code=$1
    shift
    printf 'install.sh: %s\n' "$*" >&2
    exit "$code"
}

target() { sed -n "s/^$1=//p" target.txt; }

[ $# -eq 1 ] && [ -n "$1" ] || fail 2 "say where to install: sh install.sh DIR"
case $1 in
    /*) directory=$1 ;;
    *) directory=$PWD/$1 ;;
esac
if [ -e "$directory" ] && { [ ! -d "$directory" ] || [ -n "$(ls -A "$directory")" ]; }; then
    fail 6 "$directory is in use; name a new folder"
fi
unset CDPATH  # cd would look for a folder of this name there first
cd -- "$(dirname -- "$0")"

command -v sha256sum >/dev/null || fail 7 "sha256sum is not on this box"
sha256sum --check --strict --quiet SHA256SUMS >&2 || fail 5 "files are not as they were packed; copy the folder again"

python=${PYTHON:-python$(target python)}
command -v "$python" >/dev/null || fail 7 "there is no $python; install it, or name one: PYTHON=/usr/bin/..."
"$python" -I - "$(target python)" "$(target machine)" "$(target glibc)" <<'CHECK' || fail 7 "the wheels are for another box"
import platform
import sys


def number(text):
    return tuple(int(part) for part in text.split("."))


python, machine, glibc = sys.argv[1:]
kind, version = platform.python_implementation(), platform.python_version()
library, its_version = platform.libc_ver()
wrong = []
if kind != "CPython" or sys.version_info[:2] != number(python):
    wrong.append(f"{sys.executable} is {kind} {version}, not CPython {python}")
if platform.machine() != machine:
    wrong.append(f"the processor is {platform.machine()}, not {machine}")
if library != "glibc" or number(its_version) < number(glibc):
    wrong.append(f"the C library is {library or 'not glibc'} {its_version}, not glibc {glibc} or later")
sys.exit("\n".join(wrong) or None)
CHECK

# An installation is whole or absent.
trap 'rm -rf "$directory"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# pip runs from its wheel, for a bare Debian has none to put into an environment; the settings of this box are not read.
# Everything is named with its version and hash, so that no other file that lies in the folder is ever chosen.
"$python" -I -m venv --without-pip "$directory" || fail 7 "$python cannot make an environment"
echo "installing $(grep -c -- --hash= requirements.txt) packages into $directory" >&2
export PIP_CONFIG_FILE=/dev/null
"$directory/bin/python" -I "$(target pip)/pip" --isolated --disable-pip-version-check install --quiet --no-cache-dir \
    --no-index --find-links wheels --no-deps --require-hashes --requirement requirements.txt ||
    fail 7 "the packages could not be installed"
"$directory/bin/python" -I -m pip --isolated --disable-pip-version-check check >&2 || fail 7 "packages are missing"

weights=$directory/share/fdsearch/weights
mkdir -p "$weights"
for file in $(target weights); do
    cp "weights/$file" "$weights/"
done

trap - EXIT
echo "fdsearch $(target version) is installed; next: $directory/bin/fdsearch doctor"
