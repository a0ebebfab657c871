<?php

/**
 * Mautic loads this after its own settings. It has no parameter for TLS to the database; Doctrine's driver options do.
 * The certificate is checked against the cell's authority where there is one, else against the image's own list.
 *
 * @var \Symfony\Component\DependencyInjection\ContainerBuilder $container
 */

$authority = '/etc/tenantry/ca/ca.pem';
$options   = [
    PDO::MYSQL_ATTR_SSL_CA                 => is_file($authority) ? $authority : '/etc/ssl/certs/ca-certificates.crt',
    PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => true,
];

$container->loadFromExtension('doctrine', [
    'dbal' => [
        'connections' => [
            'default'    => ['options' => $options],
            'unbuffered' => ['options' => $options],
        ],
    ],
]);
