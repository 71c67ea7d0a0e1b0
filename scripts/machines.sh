#!/bin/bash
# Machines to install packages on: roots of debootstrap, each booted with systemd in a network namespace that the caller made.
# Sourced by scripts/deb-test.sh; for others one function a call, with MACHINES naming the folder of the run:
#   MACHINES=target/deb/roots scripts/machines.sh boot NAME NAMESPACE
# Below target/deb: the packages, and the base root, which is made once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deb=$PWD/target/deb
base=$deb/base
roots=${MACHINES:-$deb/roots}

fail() {
    echo "FAILED: $1" >&2
    exit 1
}

# lack: says what this machine lacks for it, or nothing.
lack() {
    if [ "$(id -u)" != 0 ]; then
        echo 'it makes roots and network namespaces, so it needs root'
    elif ! unshare --mount --net true 2> /dev/null; then
        echo 'this machine lets nobody make namespaces'
    elif ! command -v systemd-nspawn > /dev/null; then
        echo 'it boots its roots with systemd-nspawn (package systemd-container)'
    elif ! command -v debootstrap > /dev/null; then
        echo 'it makes its roots with debootstrap'
    fi
}

# pack PROGRAM: the packages in two versions, of which the second is one to upgrade to; prints them.
pack() {
    local version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
    export DEB_PACKING="-Zgzip -z1"
    ./scripts/deb.sh "$1" "$version" > /dev/null
    ./scripts/deb.sh "$1" "$version+next" > /dev/null
    echo "$version $version+next"
}

# prepare: the folder of this run, and the root of which all others are made.
prepare() {
    if [ ! -e "$base/done" ]; then
        rm -rf "$base"
        mkdir -p "$base"
        # What the packages depend on is in the root already, so that nothing is fetched later.
        debootstrap --variant=minbase --include=ca-certificates,curl,debconf,iproute2,openssl,procps,systemd \
            "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$base" > "$deb/debootstrap.log"
        touch "$base/done"
    fi
    rm -rf "$roots"
    mkdir -p "$roots"
}

# in_root NAME COMMAND...: runs it there.
in_root() {
    local name=$1
    shift
    nsenter --target "$(cat "$roots/$name.leader")" --mount --uts --ipc --net --pid -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# boot NAME NAMESPACE [HOSTS]: starts a machine in a namespace; HOSTS are further lines of its /etc/hosts.
boot() {
    local name=$1 namespace=$2 nspawn
    mkdir -p "$roots/$name.upper" "$roots/$name.work" "$roots/$name"
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$roots/$name.upper,workdir=$roots/$name.work" "$roots/$name"
    echo "$name" > "$roots/$name/etc/hostname"
    printf '127.0.0.1 localhost %s\n%s\n' "$name" "${3:-}" > "$roots/$name/etc/hosts"
    systemd-nspawn --quiet --register=no --keep-unit --boot --directory="$roots/$name" --machine="$name" --link-journal=no \
        --network-namespace-path="/run/netns/$namespace" --resolv-conf=off --timezone=off --notify-ready=no \
        > "$roots/$name.console" 2>&1 &
    nspawn=$!
    echo "$nspawn" > "$roots/$name.pid"
    for _ in $(seq 600); do
        if pgrep -P "$nspawn" -x systemd > "$roots/$name.leader" \
            && [ -n "$(in_root "$name" systemctl is-system-running 2> /dev/null | grep -E 'running|degraded')" ]; then
            return 0
        fi
        sleep 0.1
    done
    cat "$roots/$name.console" >&2
    fail "$name is up"
}

# install_on NAME PACKAGE VERSION: with the package of the program; the services start as the package's scripts want it.
install_on() {
    cp "$deb"/pontoon_"$3"_*.deb "$deb/$2_$3_all.deb" "$roots/$1/var/tmp/"
    in_root "$1" sh -c "dpkg --install /var/tmp/pontoon_$3_*.deb /var/tmp/$2_$3_all.deb" > "$roots/$1.log" 2>&1 || {
        cat "$roots/$1.log" >&2
        fail "$2 $3 is installed on $1"
    }
}

# end_all: ends all machines of this run and takes their roots away.
end_all() {
    local file pid name
    for file in "$roots"/*.pid; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2> /dev/null || true
    done
    for file in "$roots"/*.pid; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        for _ in $(seq 200); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.1
        done
        name=$(basename "$file" .pid)
        umount -R "$roots/$name" 2> /dev/null || umount -lR "$roots/$name" 2> /dev/null || true
    done
    rm -rf "$roots"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    "$@"
fi
