#!/bin/sh
# For the sidecar of jitsi-autoscaler (GRACEFUL_SHUTDOWN_SCRIPT) and whoever else waits until a bridge is empty: has the meetings
# of this machine's bridge moved to others, and returns when it has ended. It stands in for the script of jitsi-videobridge, which
# moves nobody, and waits for the end of a Java process: with this bridge it would never return.
set -eu
pontoon drain --state-dir "${1:-/var/lib/pontoon-bridge}"
while systemctl is-active --quiet pontoon-bridge; do
    sleep 2
done
