#!/bin/sh
# The first process of a real node's namespaces: runs containerd in them. With this process all of them end.
#
# $1: containerd's folder, with its `state` (a memory file system here, like /run of a machine that has just booted)
# and `tunables` (the kernel settings that a kubelet insists on). What follows is the command to run.
set -eu
umask 022
folder=$1
shift

mount --make-rprivate /
mount -t tmpfs -o mode=0700 tmpfs "$folder/state"
: >"$folder/state/inside"
# The number of this process outside, before the namespace has a view of its own.
read -r pid _ </proc/self/stat
echo "$pid" >"$folder/node.pid"
mount -t proc proc /proc

# Places that containerd, runc and the kubelet use wherever they are told to work: nothing of it is seen outside.
for place in /run/containerd /run/runc /run/netns /var/lib/cni /var/log/containers; do
    mkdir -p "$place"
    mount -t tmpfs -o mode=0755 tmpfs "$place"
done
# A kubelet sets these for the whole machine where they differ; it finds them as it wants them, and changes nothing.
for file in "$folder"/tunables/*/*; do
    name=${file#"$folder"/tunables/}
    [ ! -e "/proc/sys/$name" ] || mount --bind "$file" "/proc/sys/$name"
done

ending=
trap 'ending=yes; kill -TERM "$child" 2>/dev/null || :' TERM INT
"$@" &
child=$!
while kill -0 "$child" 2>/dev/null; do
    wait "$child" || :
done
[ -n "$ending" ] || exit 1

# Asked to end: processes in pods get their time to finish what they have begun. A shim is left when they are gone.
working() {
    for entry in /proc/[0-9]*; do
        [ "$entry" = /proc/1 ] || ! read -r name <"$entry/comm" || [ "$name" = containerd-shim ] || return 0
    done 2>/dev/null
    return 1
}
kill -TERM -1 2>/dev/null || :
turns=0
while working && [ "$turns" -lt 100 ]; do
    sleep 0.2
    turns=$((turns + 1))
done
exit 0
