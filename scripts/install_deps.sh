#!/usr/bin/env bash
# Installs what building and testing Tandem needs on Debian 12. Does nothing, and needs no network, when all is there.
set -euo pipefail

boost=libboost1.81-dev
if ! grep -q '^VERSION_ID="12"' /etc/os-release 2>/dev/null; then boost=libboost-dev; fi

packages=(
  g++ cmake ninja-build pkgconf ccache mold
  libabsl-dev libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler
  "$boost" libssl-dev nlohmann-json3-dev libsimdjson-dev libyaml-cpp-dev libcli11-dev libspdlog-dev
  prometheus-cpp-dev libpcre2-dev libutf8proc-dev libhwy-dev libxxhash-dev libedit-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  curl python3-venv
)

if ! command -v dpkg-query >/dev/null; then
  echo "install_deps: this is not Debian; install the equivalents of: ${packages[*]}" >&2
  exit 0
fi

installed=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^ii //p') || true
missing=()
for package in "${packages[@]}"; do
  grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_deps: missing ${missing[*]}; run this script as root, or install sudo" >&2
    exit 1
  fi
  as_root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run_apt() {
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1; then
    echo "install_deps: apt-get $1 failed:" >&2
    # Mirrors are the machine's own business: their addresses stay out of build logs.
    sed -E 's#[a-z+]+://[^ ]+#(mirror)#g' "$log" | tail -n 15 >&2
    exit 1
  fi
}

echo "Installing ${#missing[@]} packages: ${missing[*]}"
run_apt update
run_apt install -y --no-install-recommends "${missing[@]}"
