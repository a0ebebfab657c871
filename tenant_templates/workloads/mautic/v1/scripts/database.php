<?php

/**
 * The tenant's database for the scripts beside this file.
 */

declare(strict_types=1);

namespace Tenantry;

use PDO;

/** @return array<string, mixed> */
function settings(): array
{
    $parameters = [];
    include '/run/tenantry/mautic/settings.php';

    return $parameters;
}

/** A new connection over checked TLS. Throws PDOException. */
function connect(): PDO
{
    $of        = settings();
    $authority = '/etc/tenantry/ca/ca.pem';

    return new PDO(
        sprintf('mysql:host=%s;port=%d;dbname=%s;charset=utf8mb4', $of['db_host'], $of['db_port'], $of['db_name']),
        str_replace('%%', '%', $of['db_user']),
        str_replace('%%', '%', $of['db_password']),
        [
            PDO::ATTR_ERRMODE                      => PDO::ERRMODE_EXCEPTION,
            PDO::ATTR_TIMEOUT                      => 10,
            PDO::MYSQL_ATTR_SSL_CA                 => is_file($authority) ? $authority : '/etc/ssl/certs/ca-certificates.crt',
            PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => true,
        ]
    );
}

/** Whether an installation was finished: its last step before the configuration makes the first user. */
function installed(PDO $database): bool
{
    $tables = $database->query("SHOW TABLES LIKE 'users'")->fetchAll();

    return [] !== $tables && (int) $database->query('SELECT COUNT(*) FROM users')->fetchColumn() > 0;
}
