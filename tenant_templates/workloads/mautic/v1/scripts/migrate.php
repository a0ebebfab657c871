<?php

/**
 * migrate.php: brings the database to the release of the image. The one place where migrations run.
 */

declare(strict_types=1);

namespace Tenantry;

require __DIR__.'/database.php';

if (!installed(connect())) {
    fwrite(STDERR, "migrate: Mautic is not installed\n");
    exit(1);
}
$process = proc_open(
    ['php', 'bin/console', 'doctrine:migrations:migrate', '--no-interaction', '--allow-no-migration'],
    [STDIN, STDOUT, STDERR],
    $pipes
);
exit(is_resource($process) ? proc_close($process) : 1);
