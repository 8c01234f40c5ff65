#!/bin/sh
# `make setup`: finds Python 3.11, installs the system libraries that miss, makes .venv and installs the project in it.
# `make libraries` (tools/setup.sh libraries) does only the system libraries.
# tools/setup.sh browser, for `make test`, does only the browser that the tests of the pages look with.
set -eu
cd "$(dirname "$0")/.."
checkout=$(pwd -P)
venv_python=.venv/bin/python

# What the loader is asked for, and the package of Debian and Ubuntu that holds it. Blender wants the first ten.
libraries='
    libX11.so.6       libx11-6
    libXi.so.6        libxi6
    libXxf86vm.so.1   libxxf86vm1
    libXfixes.so.3    libxfixes3
    libXrender.so.1   libxrender1
    libxkbcommon.so.0 libxkbcommon0
    libSM.so.6        libsm6
    libICE.so.6       libice6
    libGL.so.1        libgl1
    libEGL.so.1       libegl1
    libusb-1.0.so.0   libusb-1.0-0
    libudev.so.1      libudev1
    libidn2.so.0      libidn2-0
    libgomp.so.1      libgomp1
'

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 2; }

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Sets $python. .venv/unfinished stands while .venv is filled: what an interrupted run left is made anew.
find_python() {
    [ -e .venv/unfinished ] || case "$(version $venv_python)" in
        3.11) python=$venv_python; return ;;
        ?*) fail ".venv holds Python $(version $venv_python), 3.11 is needed: rm -rf .venv, then again" ;;
    esac
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.11 python3; fi
    for python in "$@"; do
        [ "$(version "$python")" != 3.11 ] || return 0
    done
    found=$(version "$python") || found="not there"
    fail "Python 3.11 is needed (Blender's wheel is built for it) and $python is $found. Install it, on Debian 12 by" \
        "apt-get install python3.11 python3.11-venv, or name one: make setup PYTHON=/path/to/python3.11"
}

# Prints the packages that hold what the loader lacks.
missing_libraries() {
    [ "$(uname -s)" = Linux ] || return 0
    # shellcheck disable=SC2086  # the table is split into words
    "$python" -I - $libraries <<'END'
import ctypes, sys
missing = []
for library, package in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        ctypes.CDLL(library)
    except OSError:
        missing.append(package)
print(*missing)
END
}

install_packages() {
    line="apt-get update; apt-get install -y --no-install-recommends $1"
    if ! command -v apt-get >/dev/null; then
        fail "missing, by their names in Debian: $1. Install them by this system's means, then again"
    elif [ "$(id -u)" = 0 ]; then
        say "$line"
        DEBIAN_FRONTEND=noninteractive sh -c "$line" </dev/null || fail "apt-get failed, see above"
    elif sudo -n true 2>/dev/null; then
        say "sudo: $line"
        sudo -n env DEBIAN_FRONTEND=noninteractive sh -c "$line" </dev/null || fail "apt-get failed, see above"
    else
        ! command -v sudo >/dev/null || line="sudo sh -c '$line'"
        fail "system packages are missing. Run this line as root, then make again:  $line"
    fi
}

need_room() {
    free=$("$python" -Ic 'import shutil; print(shutil.disk_usage(".").free // 10**9)')
    [ "$free" -ge 5 ] || fail "$checkout has $free GB free, and .venv takes about 5 (10 with the CUDA build of torch)"
}

# Two makes at once: the second waits, then finds the work done.
exec 9<tools/setup.sh
flock 9 2>/dev/null || true
if [ $# = 0 ] && [ .venv/ready -nt pyproject.toml ] && [ "$(cat .venv/ready)" = "$checkout" ]; then exit; fi

if [ "${1:-}" = browser ]; then
    python=$venv_python
    libraries='libatomic.so.1 libatomic1'  # for the node that Playwright brings
    missing=$(missing_libraries)
    found=
    for browser in chromium chromium-browser google-chrome; do
        ! command -v $browser >/dev/null || found=$browser
    done
    [ -n "$found" ] || missing="chromium fonts-dejavu-core${missing:+ }$missing"
    [ -z "$missing" ] || install_packages "$missing"
    exit
fi

find_python
missing=$(missing_libraries)
if [ $# = 0 ] && [ "$python" != $venv_python ] && ! "$python" -Ic 'import ensurepip, venv' 2>/dev/null; then
    missing="$missing${missing:+ }python3.11-venv"
fi
if [ -n "$missing" ]; then
    install_packages "$missing"
    missing=$(missing_libraries)
    [ -z "$missing" ] || fail "the loader still does not find what is in: $missing"
fi
[ $# = 0 ] || { say "no system library is missing"; exit; }

if [ "$python" != $venv_python ]; then
    need_room
    say "making .venv with $(command -v "$python")"
    mkdir -p .venv
    touch .venv/unfinished
    find .venv/ -mindepth 1 -maxdepth 1 ! -name unfinished -exec rm -rf {} +
    "$python" -m venv .venv || fail "$python cannot make a virtual environment, see above"
fi
touch .venv/unfinished
rm -f .venv/ready
say "installing the project and its extras in .venv (some minutes, 2 GB to fetch)"
$venv_python -m pip install --no-input -e '.[all,dev]' || fail "pip failed, see above; make setup tries again"
for module in bpy open3d torch; do
    $venv_python -Ic "import $module" || fail "$module is installed but cannot be imported, see above"
done
printf '%s\n' "$checkout" >.venv/ready
rm .venv/unfinished
say "done"
