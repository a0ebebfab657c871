<?php

/**
 * plugins.php: exchanges contacts and activity with each plugin (CRM and the like) that is switched on in Mautic.
 * Mautic's commands take one plugin at a time and know no "all of them".
 */

declare(strict_types=1);

namespace Tenantry;

require __DIR__.'/database.php';

const COMMANDS = [
    'get_leads'  => 'mautic:integration:fetchleads',
    'push_leads' => 'mautic:integration:pushleadactivity',
];

$found = connect()->query(
    'SELECT name, supported_features FROM plugin_integration_settings WHERE is_published = 1 ORDER BY name'
);
$failed = [];
foreach ($found->fetchAll(\PDO::FETCH_ASSOC) as $plugin) {
    foreach (COMMANDS as $feature => $command) {
        if (!str_contains((string) $plugin['supported_features'], $feature)) {
            continue;
        }
        $process = proc_open(
            ['php', 'bin/console', $command, '--integration='.$plugin['name'], '--no-interaction'],
            [STDIN, STDOUT, STDERR],
            $pipes
        );
        if (!is_resource($process) || 0 !== proc_close($process)) {
            $failed[] = "{$plugin['name']} ({$command})";
        }
    }
}
if ([] !== $failed) {
    fwrite(STDERR, 'plugins: failed for '.implode(', ', $failed)."\n");
    exit(1);
}
