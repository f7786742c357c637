<?php

declare(strict_types=1);

/**
 * Hands submissions of Hubzilla addons to civic-orchestrator and loses none. PHP 8.1 to 8.4 with curl, no Composer.
 *
 * Copy this file and the folder civic_receiver/ into the directory of the addon. Then:
 *
 *	use CivicReceiver\V2\{Client, Hubzilla};
 *	require_once __DIR__ . '/civic_receiver.php';
 *
 *	$answer = Hubzilla::client()->submit(Client::envelope('vs01', [ … ]));
 *
 * The namespace contains the version. Several addons may carry a copy each. If their versions are the same, the first copy that
 * is loaded serves all of them. A copy of another version has another namespace, so an older copy never takes the place of a newer.
 */

if (! class_exists(\CivicReceiver\V2\Client::class, false)) {
	foreach (['Text', 'Record', 'Answer', 'Files', 'Breaker', 'Post', 'Spool', 'Receipts', 'Delivery', 'Cron', 'Newest', 'Standing', 'Client', 'Hubzilla'] as $part) {
		require __DIR__ . "/civic_receiver/$part.php";
	}
}
