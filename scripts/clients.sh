#!/usr/bin/env bash
# Brings the client libraries and applications that the tests drive Fastness with onto a Debian
# machine, and a browser: Python packages in a virtual environment and Node packages in a folder, at the versions
# that tests/interop/clients/{requirements.txt,package.json} pin. Python and Node are the
# machine's own, installed from its Debian release when they are missing.
# usage: scripts/clients.sh        prints nothing when everything is there already
# FASTNESS_CLIENTS names the cache folder (default: ~/.cache/fastness-clients).
set -euo pipefail
cd "$(dirname "$0")/../tests/interop/clients"

home=${FASTNESS_CLIENTS:-$HOME/.cache/fastness-clients}

say() { echo "clients: $*" >&2; }

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

install_packages() {
  say "installing $* from this machine's Debian release"
  as_root env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@"' apt "$@" >/dev/null
}

# A virtual environment needs more than the interpreter: Debian has it in a package of its own.
ensure_python() {
  command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null && return
  install_packages python3 python3-venv
}

ensure_node() {
  command -v node >/dev/null && command -v npm >/dev/null && return
  if command -v node >/dev/null; then install_packages npm; else install_packages nodejs npm; fi
}

# Whether a folder was completed from exactly the list of packages that is given now.
is_current() { cmp -s "$1" "$2"; }

install_python() {
  is_current requirements.txt "$home/python/installed.txt" && return
  ensure_python
  say "installing the Python packages into $home/python"
  rm -rf "$home/python"
  python3 -m venv "$home/python"
  "$home/python/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    --requirement requirements.txt >&2
  cp requirements.txt "$home/python/installed.txt"
}

install_node() {
  ensure_node
  is_current package.json "$home/node/installed.json" && return
  say "installing the Node packages into $home/node"
  rm -rf "$home/node"
  mkdir -p "$home/node"
  cp package.json "$home/node/"
  # Neither scripts of packages nor optional ones: what they would build only makes some faster.
  (cd "$home/node" && npm install --silent --no-package-lock --omit=optional --no-audit --no-fund \
    --ignore-scripts >&2)
  cp package.json "$home/node/installed.json"
}

# What draws the page of `fastness inspect --html`.
ensure_browser() {
  command -v chromium >/dev/null || command -v google-chrome >/dev/null && return
  install_packages chromium fonts-dejavu-core
}

mkdir -p "$home"
# Two runs at once must not install into the same folder.
exec 9>"$home/lock"
flock 9
install_python
install_node
ensure_browser
