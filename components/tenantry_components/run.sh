#!/bin/sh
# Runs the command that it is given, and ends it gently once the files in $TENANTRY_CONFIGURATION have changed (a
# credential was rotated), so that the kubelet starts the container afresh with the new ones. A module reads its
# configuration at its start, and mounts single files of it, which do not follow a change: hence a new start.
#
# $TENANTRY_EGRESS: a file of variables with the login to the egress proxy, read first. Without
# $TENANTRY_CONFIGURATION (a Job, which ends before a credential does) that is all, and the command takes over.
set -u

if [ -n "${TENANTRY_EGRESS:-}" ]; then
    set -a
    # shellcheck source=/dev/null
    . "$TENANTRY_EGRESS" || exit 1
    set +a
fi
[ -n "${TENANTRY_CONFIGURATION:-}" ] || exec "$@"

# Before all that takes time: a signal that comes early must not be lost.
child= early=
for signal in TERM INT QUIT HUP USR1 USR2 WINCH; do
    # shellcheck disable=SC2064 # the name is meant to be filled in now
    trap "early=$signal; [ -z \"\$child\" ] || kill -$signal \"\$child\" 2>/dev/null" "$signal"
done

digest() { cat "$TENANTRY_CONFIGURATION"/* 2>/dev/null | sha256sum; }

started_with=$(digest)
# Replicas must not all end in the same moment: each waits its own time, by its pod's name.
patience=$((0x$(hostname | sha256sum | cut -c 1-6) % ${TENANTRY_RESTART_SPREAD:-30}))

# Told to end before it has begun. (143: ended by TERM.)
[ -z "$early" ] || exit 143
"$@" &
child=$!
# A process that has only just forked still has this shell's traps, and would lose the signal.
[ -z "$early" ] || { sleep 1 && kill "-$early" "$child" 2>/dev/null; }

(
    # It ends with this shell, also if it is told so while it still has this shell's traps.
    while sleep "${TENANTRY_CHECK_SECONDS:-5}" && read -r _ _ _ parent _ </proc/self/stat && [ "$parent" = $$ ]; do
        if [ "$(digest)" != "$started_with" ]; then
            echo "configuration changed: ending the process for a new start" >&2
            sleep "$patience"
            kill -TERM "$child"
            exit
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
