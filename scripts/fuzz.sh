#!/bin/sh
# Builds every fuzz target and runs each for a while: scripts/fuzz.sh SECONDS [TARGET ...]
# FUZZ_SEED=1 begins the same way each time, for a run that must not surprise; otherwise each run looks elsewhere.
# Ends with 1 when a target finds something; the input is kept in fuzz/artifacts, the corpus in fuzz/corpus.
#
# The stable compiler is enough: the coverage of libFuzzer is a pass of LLVM, and the code under test is safe Rust, so
# that no sanitizer is needed to see what goes wrong.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:?"usage: scripts/fuzz.sh SECONDS [TARGET ...]"}
shift

coverage='--cfg fuzzing -C passes=sancov-module'
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage="$coverage -C llvm-args=-sanitizer-coverage-$option"
done

# `--target` keeps the instrumentation out of build scripts and macros, which have no fuzzer to report to.
host=$(rustc -vV | sed -n 's/^host: //p')
echo "fuzz: building"
(cd fuzz && RUSTFLAGS="$coverage" CARGO_TARGET_DIR=target cargo build --quiet --locked --target "$host")

[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | sed '/^fuzz$/d')
failed=
for target in "$@"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=$(mktemp)
    if "fuzz/target/$host/debug/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -seed="${FUZZ_SEED:-0}" \
        -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" > "$log" 2>&1; then
        echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
    else
        failed="$failed $target"
        tail -n 40 "$log"
        echo "fuzz: $target: FAILED" >&2
    fi
    rm -f "$log"
done
[ -z "$failed" ] || { echo "fuzz: found something:$failed" >&2; exit 1; }
