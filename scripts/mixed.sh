#!/bin/sh
# A former version beside this one, both ways: scripts/mixed.sh [BINARY | REVISION]
# Without an argument it is the last tag. A revision is built once, in target/former.
set -eu
cd "$(dirname "$0")/.."

former=${1:-}
if [ -z "$former" ]; then
    former=$(git describe --tags --abbrev=0 2> /dev/null) || {
        echo 'mixed: there is no tag yet; name a revision or a binary: make mixed FORMER=HEAD~20' >&2
        exit 2
    }
fi
if ! [ -x "$former" ] || [ -d "$former" ]; then
    commit=$(git rev-parse --verify --quiet "$former^{commit}") || {
        echo "mixed: $former is neither a binary nor a revision" >&2
        exit 2
    }
    cache=${CARGO_TARGET_DIR:-target}/former
    mkdir -p "$cache"
    cache=$(cd "$cache" && pwd)
    if ! [ -x "$cache/$commit" ]; then
        tree=$(mktemp -d)
        trap 'git worktree remove --force "$tree/source"; rmdir "$tree"' EXIT
        git worktree add --quiet --detach "$tree/source" "$commit"
        make --no-print-directory -C "$tree/source" web
        (cd "$tree/source" && CARGO_TARGET_DIR="$cache/build" cargo build --locked --package pontoon)
        cp "$cache/build/debug/pontoon" "$cache/$commit"
    fi
    former=$cache/$commit
fi
echo "mixed: $($former --version) beside this version"
FORMER=$(realpath "$former") cargo test --locked --workspace --test mixed -- --nocapture
