#!/usr/bin/env bash
# Brings the object stores that the tests back up to onto a machine: moto (S3) in a
# virtual environment, Azurite (Azure) in a folder, at the versions that
# tests/interop/stores/{requirements.txt,package.json} pin. scripts/clients.sh brings Python and Node.
# usage: scripts/stores.sh        prints nothing when everything is there already
# FASTNESS_STORES names the cache folder (default: ~/.cache/fastness-stores).
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
cd "$scripts/../tests/interop/stores"
# shellcheck source=scripts/packages.sh
. "$scripts/packages.sh"

home=${FASTNESS_STORES:-$HOME/.cache/fastness-stores}

lock_home
install_python
install_node
