#!/bin/sh
# Runs Squid, and has it read its configuration again when the agent has rendered who may come and where to. What
# Squid would not accept is left aside with a word in the log: it goes on with what it has, for all tenants.
set -u

digest() { cat "$TENANTRY_CONFIGURATION"/* 2>/dev/null | cksum; }

read_at_start=$(digest)
squid -N -f "$TENANTRY_PROXY" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM INT

(
    last=$read_at_start
    while sleep "${TENANTRY_CHECK_SECONDS:-2}"; do
        now=$(digest)
        [ "$now" = "$last" ] && continue
        last=$now
        if squid -k parse -f "$TENANTRY_PROXY" >/dev/null 2>&1; then
            kill -HUP "$child"
        else
            echo "the rendered rules are not valid: Squid goes on with the old ones" >&2
        fi
    done
) &
watcher=$!

# A trapped signal ends `wait` early; the child's own status is what the last one gives.
while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || break
done
kill "$watcher" 2>/dev/null
exit "$status"
