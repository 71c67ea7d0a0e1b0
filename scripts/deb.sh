#!/bin/sh
# Builds the Debian packages into target/deb from a program that is built already:
#   scripts/deb.sh target/release/pontoon [VERSION]
set -eu
cd "$(dirname "$0")/.."
program=$1
version=${2:-$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)}
out=target/deb
source=$out/pontoon-$version

rm -rf "$source"
mkdir -p "$source/docs"
cp -R packaging/debian "$source/debian"
cp packaging/files/* "$source/"
cp docs/configuration.md docs/operators-guide.md "$source/docs/"
install -m 755 "$program" "$source/pontoon"
{
    echo 'Libraries in the program, and the licences of each:'
    echo
    cargo tree --locked --package pontoon --edges normal --prefix none --format '{p}: {l}' \
        | sed -E 's/ \(.*\)(: |$)/\1/; s/ \(proc-macro\)//' | grep -v ' v[0-9.]*$' | sort -u
} > "$source/licences.txt"
epoch=$(git log -1 --format=%ct 2> /dev/null || date +%s)
date=$(LC_ALL=C date -u -R -d "@$epoch")
sed -i "s/@VERSION@/$version/; s/@DATE@/$date/" "$source/debian/changelog"
export SOURCE_DATE_EPOCH="$epoch"
(cd "$source/debian" && debconf-updatepo > /dev/null)
(cd "$source" && dpkg-buildpackage --no-sign --build=binary > ../build.log 2>&1) || {
    cat "$out/build.log" >&2
    exit 1
}
rm -rf "$source"
ls "$out"/*_"$version"_*.deb
