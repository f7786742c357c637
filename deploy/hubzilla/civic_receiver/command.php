<?php

declare(strict_types=1);

/**
 * For the operator, in Hubzilla's directory and as its user:
 *
 *	php addon/ADDON/civic_receiver/command.php check    does the receiver answer and accept the token? Nothing is stored
 *	php addon/ADDON/civic_receiver/command.php status   how the spool stands, as JSON
 *	php addon/ADDON/civic_receiver/command.php post     post all that waits now, then the same
 *
 * The exit status is 0 when all is well, 1 when something waits, was refused or is a problem.
 */

use CivicReceiver\V2\Hubzilla;

if (PHP_SAPI !== 'cli') {
	exit; // the directory may be served
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
