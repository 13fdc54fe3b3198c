#!/usr/bin/env bash
# Brings the client libraries and applications that the tests drive Fastness with onto a Debian
# machine, and a browser: Python packages in a virtual environment and Node packages in a folder, at the versions
# that tests/interop/clients/{requirements.txt,package.json} pin. Python and Node are the
# machine's own, installed from its Debian release when they are missing.
# usage: scripts/clients.sh        prints nothing when everything is there already
# FASTNESS_CLIENTS names the cache folder (default: ~/.cache/fastness-clients).
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
cd "$scripts/../tests/interop/clients"
# shellcheck source=scripts/packages.sh
. "$scripts/packages.sh"

home=${FASTNESS_CLIENTS:-$HOME/.cache/fastness-clients}

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

# What draws the page of `fastness inspect --html`.
ensure_browser() {
  command -v chromium >/dev/null || command -v google-chrome >/dev/null && return
  install_packages chromium fonts-dejavu-core
}

lock_home
ensure_python
install_python
ensure_node
install_node
ensure_browser
