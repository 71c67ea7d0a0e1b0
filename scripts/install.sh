#!/bin/sh
# Installs what is missing on Debian and Ubuntu: for building ("build"), for the tests as well ("test"), for
# packages ("deb") and their tests ("deb-test").
# Rust (rustup) and Node.js are taken as given; what they bring is fetched by them.
set -eu

want=${1:-build}
missing=
# What some distributions do not have: its tests are skipped there.
optional=

need() { # need COMMAND PACKAGE
    command -v "$1" > /dev/null 2>&1 || missing="$missing $2"
}

need cc build-essential
need git git
need pkg-config pkg-config
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"

if [ "$want" = test ]; then
    if [ -z "${CHROMIUM:-}" ]; then
        need chromium chromium
    fi
    if [ -z "${FIREFOX:-}" ] && ! command -v firefox > /dev/null 2>&1; then
        command -v firefox-esr > /dev/null 2>&1 || optional=" firefox-esr"
    fi
    need prosody prosody
    need ip iproute2
    need nft nftables
    need openssl openssl
    need curl curl
    need pebble pebble
    need ffmpeg ffmpeg
fi

if [ "$want" = deb ] || [ "$want" = deb-test ]; then
    need dpkg-buildpackage dpkg-dev
    need dh debhelper
    need debconf-updatepo po-debconf
fi
if [ "$want" = deb-test ]; then
    need lintian lintian
    need debootstrap debootstrap
    need systemd-nspawn systemd-container
    need ip iproute2
    need nft nftables
    need openssl openssl
    need curl curl
fi

for tool in cargo node npm; do
    if ! command -v "$tool" > /dev/null 2>&1; then
        echo "$tool is missing: install Rust from https://rustup.rs and Node.js 20.19 or later, then run make again." >&2
        exit 1
    fi
done
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
    echo "Node.js $(node --version) is too old: 20.19 or later is needed." >&2
    exit 1
fi

install_missing() {
    if ! command -v apt-get > /dev/null 2>&1; then
        echo "These are missing, and there is no apt-get to install them with:$missing" >&2
        exit 1
    fi
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo > /dev/null 2>&1; then
            echo "These are missing; install them as root:$missing" >&2
            exit 1
        fi
        as_root=sudo
    fi
    echo "Installing:$missing$optional"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # one word for each package
    [ -z "$missing" ] || $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing > /dev/null
    for package in $optional; do
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" > /dev/null ||
            echo "There is no $package here: what needs it is not tested." >&2
    done
    # A service that a package starts would hold ports the tests use.
    if [ "$want" = test ] && command -v systemctl > /dev/null 2>&1; then
        $as_root systemctl disable --now prosody > /dev/null 2>&1 || true
    fi
}

can_install() {
    command -v apt-get > /dev/null 2>&1 && { [ "$(id -u)" = 0 ] || command -v sudo > /dev/null 2>&1; }
}

if [ -n "$missing" ] || { [ -n "$optional" ] && can_install; }; then
    install_missing
fi
if [ "$want" = test ] && ! cargo deny --version > /dev/null 2>&1; then
    echo "Installing: cargo-deny"
    cargo install --quiet --locked --debug --version '^0.20' cargo-deny
fi
