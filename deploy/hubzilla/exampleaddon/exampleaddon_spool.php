<?php

/** The cron hook of the example addon: posts the submissions that wait, tells the operator, publishes the heads. */

use CivicReceiver\V2\Client;
use CivicReceiver\V2\Hubzilla;
use Zotlabs\Lib\Config;

/** Hubzilla calls this about every ten minutes. Several addons may do the same on one spool, because only one run is at work at a time. */
function exampleaddon_cron(&$now)
{
	$client = Hubzilla::client();
	Hubzilla::tellOperator($client->run());
	exampleaddon_publish_heads($client);
}

/**
 * Publishes the heads of the day once a day, as a public post of the channel that the operator has chosen. Nobody can call back the
 * copies of the post on other hubs, so from then on nobody can rewrite a record up to these heads unseen (AUDITORS.md).
 */
function exampleaddon_publish_heads(Client $client)
{
	$nick = (string) Config::Get('exampleaddon', 'heads_channel', '');
	$day = gmdate('Y-m-d');
	if ($nick === '' || Config::Get('exampleaddon', 'heads_day') === $day) {
		return;
	}
	$heads = $client->heads();
	$channel = channelx_by_nick($nick);
	if (! $heads || ! $channel) {
		return;
	}
	if (exampleaddon_post($channel, sprintf(t('Heads of the records of %s on %s'), Hubzilla::site(), $day), $heads)) {
		Config::Set('exampleaddon', 'heads_day', $day);
	}
}

/** Posts publicly, whatever the usual audience of the channel is. True when the post was made. */
function exampleaddon_post(array $channel, string $title, array $lines): bool
{
	require_once 'include/items.php';
	$before = [App::get_channel(), App::get_observer()];
	App::set_channel($channel);
	App::set_observer($channel); // a row of channelx_by_nick() has the members of its xchan
	$posted = post_activity_item([
		'id' => 0,
		'parent' => 0,
		'mid' => '',
		'parent_mid' => '',
		'plink' => '',
		'title' => $title,
		'body' => "$title\n[code]\n" . implode("\n", $lines) . "\n[/code]",
		'item_wall' => 1,
		'item_origin' => 1,
		'item_thread_top' => 1,
		'item_private' => 0,
		'public_policy' => '',
		'allow_cid' => '',
		'allow_gid' => '',
		'deny_cid' => '',
		'deny_gid' => '',
	]);
	App::set_channel($before[0]);
	App::set_observer($before[1]);
	return (bool) ($posted['success'] ?? false);
}
