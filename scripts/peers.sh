#!/usr/bin/env bash
# Brings the servers that the tests compare Fastness with onto a Debian machine:
#   - redis-server as the machine's own Debian release packages it, installed with apt-get;
#   - Redis 8 and Valkey 9 from Debian's unstable suite, unpacked into a cache folder and run with
#     the C library that belongs to them, so nothing of the machine is replaced.
# usage: scripts/peers.sh          prints nothing when everything is there already
# FASTNESS_PEERS names the cache folder (default: ~/.cache/fastness-peers).
set -euo pipefail

home=${FASTNESS_PEERS:-$HOME/.cache/fastness-peers}
root=$home/root
programs=(redis-server redis-cli redis-check-aof redis-check-rdb redis-benchmark
  valkey-server valkey-cli valkey-check-aof valkey-check-rdb valkey-benchmark)
packages=(redis-server redis-tools valkey-server valkey-tools libc6 libatomic1 libjemalloc2
  liblzf1 libssl3t64 libstdc++6 libsystemd0 libgcc-s1 libcap2 zlib1g libzstd1)

say() { echo "peers: $*" >&2; }

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

install_release_server() {
  command -v redis-server >/dev/null && return
  say "installing redis-server from this machine's Debian release"
  # A package must not start a daemon of its own on the default port.
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c \
    'apt-get -qq update && apt-get -qq install -y --no-install-recommends redis-server' \
    >/dev/null
}

# The Debian mirror that this machine already uses, in either of apt's two notations.
mirror() {
  local found
  found=$(grep -hE '^URIs:' /etc/apt/sources.list.d/debian.sources 2>/dev/null |
    awk '{print $2}' | grep -vE 'security' | head -1 || true)
  if [[ -z $found ]]; then
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
      sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) +[a-z]+ .*main.*/\2/p' |
      grep -E '/debian/?$' | head -1 || true)
  fi
  [[ -n $found ]] || { say "no Debian mirror in /etc/apt"; exit 1; }
  echo "$found"
}

unpack_unstable() {
  [[ -x $root/usr/bin/valkey-server && -x $root/usr/bin/redis-server ]] && return
  say "unpacking Redis and Valkey from Debian unstable into $home"
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$home"/lists/partial "$home"/debs "$home"/sources.list.d "$root"
  echo "deb [signed-by=$keyring] $(mirror) sid main" >"$home/sources.list.d/sid.list"
  local apt=(-o "Dir::State::Lists=$home/lists" -o Dir::Etc::SourceList=/dev/null
    -o "Dir::Etc::SourceParts=$home/sources.list.d" -o "APT::Sandbox::User=$(id -un)"
    -o "Dir::Cache=$home" -o "Dir::Cache::archives=$home/debs"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  apt-get "${apt[@]}" -qq update >&2
  (cd "$home/debs" && apt-get "${apt[@]}" -qq download "${packages[@]}" >&2)
  local package
  for package in "$home"/debs/*.deb; do dpkg -x "$package" "$root"; done
}

write_launchers() {
  local loader libraries program
  loader=$(find "$root"/usr/lib* -maxdepth 2 -name 'ld-linux*.so.*' | head -1)
  libraries=$(dirname "$(find "$root/usr/lib" -name 'libc.so.6' | head -1)")
  for program in "${programs[@]}"; do
    [[ -x $home/$program ]] && continue
    printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' \
      "$loader" "$libraries" "$root/usr/bin/$program" >"$home/$program"
    chmod +x "$home/$program"
  done
}

install_release_server
unpack_unstable
write_launchers
