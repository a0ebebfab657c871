#!/bin/sh
# Runs a command in a real node's namespaces, as soon as they are there.
#
# $1: containerd's folder. $2: `-` at the first call, `in` once inside. What follows is the command to run.
set -eu
folder=$1
step=$2
shift 2

if [ "$step" = - ]; then
    # The number may be left over from namespaces that are gone; the mark is only seen in those that are there.
    until read -r pid _ <"$folder/node.pid" && [ -e "/proc/$pid/root$folder/state/inside" ]; do
        sleep 0.2
    done 2>/dev/null
    exec nsenter --no-fork --target "$pid" --mount --pid /bin/sh "$0" "$folder" in "$@"
fi

umask 022
trap : TERM INT
# It goes with this process, which the supervisor knows, and with the namespaces.
setpriv --pdeathsig KILL "$@" &
child=$!
status=0
while kill -0 "$child" 2>/dev/null; do
    wait "$child" && status=0 || status=$?
done
exit "$status"
