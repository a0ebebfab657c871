#!/bin/sh
# Starts MariaDB in a pod, as its official image does: at the first start it makes the data, with a password for root, and
# runs what /docker-entrypoint-initdb.d holds. A first start that was cut short begins anew.
set -eu
umask 0007
data=/var/lib/mysql
whole=$data/tenantry-whole
socket=/run/mysqld/mysqld.sock
share=/usr/share/mysql

if [ ! -e "$whole" ]; then
    echo "making the data for the first time"
    rm -rf "$data"/* "$data"/.[!.]*
    {
        # One statement a line: that is how far the bootstrap's parser goes.
        printf '%s;\n' 'CREATE DATABASE IF NOT EXISTS mysql' 'USE mysql' 'SET @auth_root_socket = NULL'
        cat $share/mysql_system_tables.sql $share/mysql_performance_tables.sql
        # Without accounts for a host name, which the next pod has no more.
        grep -v @current_hostname $share/mysql_system_tables_data.sql
        cat $share/fill_help_tables.sql $share/maria_add_gis_sp_bootstrap.sql $share/mysql_sys_schema.sql
    } | mariadbd --bootstrap --datadir=$data --log-warnings=0 --enforce-storage-engine= --max-allowed-packet=8M

    mariadbd --datadir=$data --skip-networking --socket=$socket &
    server=$!
    tries=0
    until mariadb --no-defaults --socket=$socket --user=root --execute='DO 1' 2>/dev/null; do
        kill -0 $server
        tries=$((tries + 1))
        [ $tries -lt 600 ]
        sleep 0.1
    done
    password=$(sed "s/[\\\\']/\\\\&/g" "$MARIADB_ROOT_PASSWORD_FILE")
    {
        # MariaDB makes these without a password.
        echo "DROP USER 'root'@'127.0.0.1', 'root'@'::1';"
        # The last statement shuts out whoever has no password, this client's next connection too.
        for file in /docker-entrypoint-initdb.d/*.sql; do
            [ ! -e "$file" ] || cat "$file"
        done
        printf "CREATE USER 'root'@'%s' IDENTIFIED BY '%s';\n" "$MARIADB_ROOT_HOST" "$password"
        printf "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%s' WITH GRANT OPTION;\n" "$MARIADB_ROOT_HOST"
        printf "ALTER USER 'root'@'localhost' IDENTIFIED BY '%s';\nSHUTDOWN;\n" "$password"
    } | mariadb --no-defaults --socket=$socket --user=root
    wait $server
    touch "$whole"
fi
exec mariadbd --datadir=$data --socket=$socket
