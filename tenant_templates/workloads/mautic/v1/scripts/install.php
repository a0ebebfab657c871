<?php

/**
 * install.php URL OWNER: installs Mautic where it is not installed yet; otherwise does nothing.
 *
 * Mautic takes a configuration file with a site URL for a finished installation, so the installer gets one without.
 * It writes to that file, passwords included: the file lies in the pod's memory and is gone with it.
 */

declare(strict_types=1);

namespace Tenantry;

require __DIR__.'/database.php';

const CONFIGURATION = '/var/www/html/config/local.php';
const IN_MEMORY     = '/dev/shm/local.php';

[, $url, $owner] = $argv;

$database = connect();
if (installed($database)) {
    echo "install: installed already\n";
    exit(0);
}
$of = settings();
unset($of['site_url']);
$of['admin_username'] = 'admin';
$of['admin_email']    = $owner;
$of['admin_password'] = adminPassword();

umask(0o077);
if (false === file_put_contents(IN_MEMORY, '<?php'."\n".'$parameters = '.var_export($of, true).";\n")) {
    fwrite(STDERR, "install: no room in memory for the installer's configuration\n");
    exit(1);
}
unlink(CONFIGURATION);
symlink(IN_MEMORY, CONFIGURATION);
try {
    $process = proc_open(
        ['php', 'bin/console', 'mautic:install', $url, '--force', '--no-interaction'],
        [STDIN, STDOUT, STDERR],
        $pipes
    );
    $status = is_resource($process) ? proc_close($process) : 1;
} finally {
    unlink(CONFIGURATION);
    unlink(IN_MEMORY);
}
// The installer's exit code says little: what it left in the database decides.
if (!installed(connect())) {
    fwrite(STDERR, "install: the installer ended with {$status} and left no first user\n");
    exit(1);
}
echo "install: done\n";

function adminPassword(): string
{
    $app = [];
    include '/run/tenantry/mautic/settings.php';

    return $app['admin_password'];
}
