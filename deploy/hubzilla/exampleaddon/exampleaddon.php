<?php

/**
 * Name: Example of a submitting addon
 * Description: A form whose answers go to civic-orchestrator as a Scenario (scn01); a start for an addon of your own
 * Version: 2.0
 * MinVersion: 8.0
 * Author: Your name
 * Maintainer: Your name
 */

/*
 * This file holds the functions that Hubzilla calls. exampleaddon_renderer.php makes the pages. exampleaddon_spool.php is the cron
 * hook. Mod_Exampleaddon.php is the page /exampleaddon. civic_receiver.php and civic_receiver/ are the client, copied beside these
 * files.
 *
 * Hubzilla includes addons with @include_once. If a file is missing or does not parse, PHP 8 ends the process: the page is blank,
 * and cron stops for the whole node. So run `php -l` on each file after each change. If only a function is missing, Hubzilla
 * deletes the registration of its hook in silence; then disable and enable the addon.
 */

use CivicReceiver\V2\Client;
use CivicReceiver\V2\Hubzilla;
use Zotlabs\Extend\Hook;
use Zotlabs\Extend\Route;
use Zotlabs\Lib\Config;

require_once __DIR__ . '/civic_receiver.php';
require_once __DIR__ . '/exampleaddon_renderer.php';
require_once __DIR__ . '/exampleaddon_spool.php';

const EXAMPLEADDON = 'addon/exampleaddon/exampleaddon.php';

function exampleaddon_load()
{
	Route::register('addon/exampleaddon/Mod_Exampleaddon.php', 'exampleaddon');
	Hook::register('cron', EXAMPLEADDON, 'exampleaddon_cron');
	Hook::register('civic_receiver_outcome', EXAMPLEADDON, 'exampleaddon_outcome');
	Hook::register('admin_mod_init', EXAMPLEADDON, 'exampleaddon_before_disabling');
}

function exampleaddon_unload()
{
	// util/addons asks nobody before it disables an addon, so it must at least say that submissions wait.
	$waiting = PHP_SAPI === 'cli' ? Hubzilla::client()->status()['waiting'] : 0;
	if ($waiting > 0) {
		fwrite(STDERR, sprintf(t('%d submissions wait to be put on record, and nothing posts them now. To go on: util/addons install exampleaddon'), $waiting) . "\n");
	}
	Route::unregister_by_file('addon/exampleaddon/Mod_Exampleaddon.php');
	Hook::unregister_by_file(EXAMPLEADDON);
}

/**
 * Call this once when the participant completes the form, after your own checks (standing, group, which sets exist): the
 * receiver makes none of these checks. $nonce belongs to the form, so that a reload or a double click makes one record.
 */
function exampleaddon_submit(string $nonce, array $members): array
{
	$client = Hubzilla::client();
	$answer = $client->submit($client->envelopeOnce($nonce, 'scn01', $members));
	if ($answer['result'] === 'stored' || $answer['kept']) {
		// Keep the reference with your own data: Client::outcome() and the hook below name the submission by it.
		Config::Set('exampleaddon', 'last_reference', $answer['reference']);
	}
	return $answer;
}

/**
 * Called when a submission from the spool was stored or refused. `state` is stored or refused, `by` is cron, `at` is the time; there
 * are also reference, addon, association_slug, participant_id, and the receipt or the errors. The hook of every addon is called for
 * the submissions of all addons.
 */
function exampleaddon_outcome(&$outcome)
{
	if (($outcome['addon'] ?? '') === 'scn01') {
		// TODO: note the outcome with your own data; tell the participant of a refusal
		logger("exampleaddon: $outcome[reference] was $outcome[state] by $outcome[by] at $outcome[at]");
	}
}

/** When submissions wait, the first click to disable the addon only says so, because its cron hook would go too. A second click disables it. */
function exampleaddon_before_disabling(&$arr)
{
	$isDisabling = argc() > 2 && argv(1) === 'addons' && argv(2) === 'exampleaddon' && ($_GET['a'] ?? '') === 't';
	if (! $isDisabling || ! is_site_admin()) {
		return;
	}
	$status = Hubzilla::client()->status();
	$warned = $_SESSION['exampleaddon_warned'] ?? 0;
	if ($status['waiting'] + $status['refused_count'] === 0 || $warned > time() - 300) {
		return;
	}
	$_SESSION['exampleaddon_warned'] = time();
	notice(sprintf(
		t('%d submissions wait to be put on record and %d were refused. Without an addon that runs the spool they stay where they are. To disable this one all the same, click again within five minutes.'),
		$status['waiting'],
		$status['refused_count']
	));
	goaway(z_root() . '/admin/addons/exampleaddon');
}

/** The page under Administration, Addons, this addon. */
function exampleaddon_plugin_admin(&$page)
{
	$page .= exampleaddon_admin_page(Hubzilla::client()->status());
}

function exampleaddon_plugin_admin_post()
{
	check_form_security_token_redirectOnErr('/admin/addons/exampleaddon', 'exampleaddon_admin');
	if (isset($_POST['post_all'])) {
		$status = Hubzilla::client()->run(20, true);
		info(sprintf(t('All that waits was posted now; %d submissions still wait.'), $status['waiting']));
		return;
	}
	$nick = trim((string) ($_POST['heads_channel'] ?? ''));
	if ($nick !== '' && ! channelx_by_nick($nick)) {
		notice(t('There is no channel of that name on this site.'));
		return;
	}
	Config::Set('exampleaddon', 'heads_channel', $nick);
	info(t('Settings updated.'));
}
