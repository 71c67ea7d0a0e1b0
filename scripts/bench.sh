#!/bin/sh
# Measures the bridge and the signalling beside the limit of this machine: docs/performance.md says what the figures mean.
# The last line is one JSON object. FULL=1 measures longer. Arguments name cases of the forwarding benchmark.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
echo "Building the benchmarks"
$cargo bench --locked --quiet --workspace --bench forwarding --bench instructions --bench join --no-run

BENCH_INSTRUCTIONS=null
BENCH_JOIN_US=null
if [ $# = 0 ]; then
    echo "Instructions for each forwarded packet before the send:"
    instructions=$($cargo bench --locked --quiet --workspace --bench instructions)
    echo "$instructions"
    BENCH_INSTRUCTIONS=$(echo "$instructions" | tail -n 1)
    echo "A join into a room of 1,000, in the core and over sockets:"
    joins=$($cargo bench --locked --quiet --workspace --bench join -- 1000)
    echo "$joins"
    BENCH_JOIN_US=$(echo "$joins" | sed -n 's/^ *1000 people: join *\([0-9]*\) µs, .* each; leave.*/\1/p')
    BENCH_JOIN_US=${BENCH_JOIN_US:-null}
fi
export BENCH_INSTRUCTIONS BENCH_JOIN_US
exec $cargo bench --locked --quiet --workspace --bench forwarding -- "$@"
