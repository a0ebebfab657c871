#!/bin/sh
# Makes the folders and the mapping classes that Shlink expects to write, then becomes the process that it is given.
set -eu
cd /etc/shlink
mkdir -p data/cache data/locks data/log data/proxies data/temp-geolite
php bin/doctrine orm:generate-proxies --no-interaction --quiet
exec "$@"
