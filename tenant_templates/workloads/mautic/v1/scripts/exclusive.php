<?php

/**
 * exclusive.php [--wait] NAME SECONDS COMMAND…
 *
 * Runs COMMAND while holding the lock NAME in the tenant's database, so that no two runs of one name overlap, wherever
 * they were started. The lock belongs to the connection: it is gone with this process, and never has to be cleaned up.
 * A lock that is held: the run is skipped with success, or with --wait awaited until the time is over.
 * COMMAND is ended after SECONDS in all, and at once when the connection is lost, for then another run may begin.
 */

declare(strict_types=1);

namespace Tenantry;

use PDO;
use PDOException;

require __DIR__.'/database.php';

const CHECK_SECONDS = 5;
const GRACE_SECONDS = 20;

function fail(string $message): never
{
    fwrite(STDERR, "exclusive: {$message}\n");
    exit(1);
}

$arguments = array_slice($argv, 1);
$wait      = '--wait' === ($arguments[0] ?? '');
if ($wait) {
    array_shift($arguments);
}
[$name, $seconds] = [array_shift($arguments), (int) array_shift($arguments)];
if (!$name || $seconds <= 0 || [] === $arguments) {
    fail('usage: exclusive.php [--wait] NAME SECONDS COMMAND…');
}
$end  = microtime(true) + $seconds;
$lock = substr(getenv('TENANTRY_LOCK_PREFIX').'.'.$name, 0, 64);

try {
    $database = connect();
    $database->exec('SET SESSION wait_timeout = 3600');
    $taking = $database->prepare('SELECT GET_LOCK(?, ?)');
    $taking->execute([$lock, $wait ? $seconds : 0]);
    $taken = 1 === (int) $taking->fetchColumn();
} catch (PDOException $error) {
    fail('the database cannot be reached (SQLSTATE '.$error->getCode().')');
}
if (!$taken) {
    if ($wait) {
        fail("lock {$name} stayed held for {$seconds} s");
    }
    echo "exclusive: {$name} is running already, this run is skipped\n";
    exit(0);
}

$process = proc_open($arguments, [STDIN, STDOUT, STDERR], $pipes);
if (!is_resource($process)) {
    fail('the command cannot be started');
}
$holding = $database->prepare('SELECT IS_USED_LOCK(?) = CONNECTION_ID()');
$next    = microtime(true) + CHECK_SECONDS;
$reason  = null;
while (($status = proc_get_status($process))['running']) {
    if (microtime(true) >= $end) {
        $reason = "{$name} took longer than {$seconds} s";
        break;
    }
    if (microtime(true) >= $next) {
        $next = microtime(true) + CHECK_SECONDS;
        try {
            $holding->execute([$lock]);
            $held = 1 === (int) $holding->fetchColumn();
        } catch (PDOException) {
            $held = false;
        }
        if (!$held) {
            $reason = "the lock of {$name} was lost with its connection";
            break;
        }
    }
    usleep(200_000);
}
if (null === $reason) {
    exit($status['exitcode']);
}
proc_terminate($process);
$patience = microtime(true) + GRACE_SECONDS;
while (proc_get_status($process)['running'] && microtime(true) < $patience) {
    usleep(200_000);
}
if (proc_get_status($process)['running']) {
    proc_terminate($process, 9);
}
fail($reason);
