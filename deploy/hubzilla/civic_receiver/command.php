<?php

declare(strict_types=1);

/**
 * The operator runs this in Hubzilla's directory, as Hubzilla's user:
 *
 *	php addon/ADDON/civic_receiver/command.php check    does the receiver answer and accept the token? It stores nothing
 *	php addon/ADDON/civic_receiver/command.php status   prints the state of the spool, as JSON
 *	php addon/ADDON/civic_receiver/command.php post     posts all submissions that wait, then prints the state
 *
 * The exit status is 0 when all is well, 1 when a submission waits or was refused, or when there is a problem.
 */

use CivicReceiver\V2\Hubzilla;

if (PHP_SAPI !== 'cli') {
	exit; // a web server may serve this directory
}
if (! is_file('include/cli_startup.php')) {
	fwrite(STDERR, "Run this in the directory of Hubzilla.\n");
	exit(2);
}
require_once 'include/cli_startup.php';
cli_startup();
require_once __DIR__ . '/../civic_receiver.php';

$client = Hubzilla::client();
switch ($argv[1] ?? '') {
	case 'check':
		[$isWell, $sentence] = $client->check();
		echo "$sentence\n";
		exit($isWell ? 0 : 1);
	case 'status':
		$status = $client->status();
		break;
	case 'post':
		$status = $client->run(600, true);
		break;
	default:
		fwrite(STDERR, "Usage: php " . $argv[0] . " check | status | post\n");
		exit(2);
}
echo json_encode($status, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
exit($status['waiting'] + $status['refused_count'] === 0 && $status['problem'] === '' ? 0 : 1);
