# Sourced by scripts/clients.sh and scripts/stores.sh: installs the Python and Node packages that the current folder's
# requirements.txt and package.json pin into "$home", once for each version of these lists.

say() { echo "${0##*/}: $*" >&2; }

# Whether a folder was completed from exactly the list of packages that is given now.
is_current() { cmp -s "$1" "$2"; }

# Two runs at once must not install into the same folder.
lock_home() {
  mkdir -p "$home"
  exec 9>"$home/lock"
  flock 9
}

install_python() {
  is_current requirements.txt "$home/python/installed.txt" && return
  say "installing the Python packages into $home/python"
  rm -rf "$home/python"
  python3 -m venv "$home/python"
  "$home/python/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    --requirement requirements.txt >&2
  cp requirements.txt "$home/python/installed.txt"
}

install_node() {
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
