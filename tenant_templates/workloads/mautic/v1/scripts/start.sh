#!/bin/sh
# Puts the rendered configuration where Mautic looks for it, then becomes the process that it is given.
# start.sh --alive WORD: exits 0 while a process runs whose command line has WORD.
set -eu

if [ "$1" = "--alive" ]; then
    for folder in /proc/[0-9]*; do
        [ "${folder#/proc/}" = "$$" ] && continue
        case "$(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null)" in
            *--alive*) ;;
            *"$2"*) exit 0 ;;
        esac
    done
    exit 1
fi

local=/var/www/html/config/local.php
if [ ! -e "$local" ]; then
    # Read-only: what is set in the user interface would stay in this one pod and vanish with it.
    printf '%s\n' '<?php' 'include "/run/tenantry/mautic/settings.php";' >"$local.new"
    chmod 0444 "$local.new"
    mv "$local.new" "$local"
fi
mkdir -p /var/www/html/var/cache /var/www/html/var/logs /var/www/html/var/tmp
cd /var/www/html
exec "$@"
