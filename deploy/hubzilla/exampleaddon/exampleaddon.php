<?php

/**
 * Name: Example of a submitting addon
 * Description: Hands a participant's Vital Signs to civic-orchestrator; the parts marked TODO are yours
 * Version: 1.0
 * MinVersion: 8.0
 * Author: Your name
 * Maintainer: Your name
 */

/*
 * Settings, once per node, from Hubzilla's directory, by the operator (README.md, "Five minutes"):
 *
 *     util/config civic_receiver url        http://127.0.0.1:8787/receive
 *     util/config civic_receiver token_file /etc/civic-orchestrator/hubzilla_token
 *     util/config civic_receiver spool      /var/spool/civic-orchestrator
 *
 * Hubzilla includes addons with @include_once and deletes the registration of a hook whose function it cannot call, so
 * a mistake here is silent: run `php -l` after each change, and disable and enable the addon once if a hook is gone.
 */

use Zotlabs\Extend\Hook;

require_once __DIR__ . '/civic_receiver.php'; // a copy beside this file; a second copy in another addon does no harm

function exampleaddon_load()
{
    Hook::register('cron', 'addon/exampleaddon/exampleaddon.php', 'exampleaddon_cron');
}

function exampleaddon_unload()
{
    Hook::unregister_by_file('addon/exampleaddon/exampleaddon.php');
}

/** About every ten minutes. Several addons may each do this on the one spool: only one run is at work at a time. */
function exampleaddon_cron(&$now)
{
    CivicReceiver::fromHubzilla()->run();
}

/** Under Administration, Addons, this addon: how the spool stands, and why something was refused. */
function exampleaddon_plugin_admin(&$page)
{
    $spool = CivicReceiver::fromHubzilla()->status();
    $lines = $spool['problem'] === '' ? [] : ['The spool cannot be used: ' . $spool['problem']];
    $lines[] = "$spool[waiting] submissions wait ($spool[bytes] bytes), the oldest for $spool[oldest_seconds] s.";
    foreach ($spool['refused'] as $name => $reasons) {
        $lines[] = "Refused: $name, " . ($reasons['detail'] ?? 'no reasons kept');
        foreach ($reasons['errors'] ?? [] as $error) $lines[] = "- $error[pointer] $error[detail]";
    }
    $page .= '<pre>' . htmlspecialchars(implode("\n", $lines)) . '</pre>';
}

/**
 * Call this once when the participant completes the form, after your own checks (standing, group, which sets exist):
 * the receiver makes none of them. Returns whether the form may be marked as handed in.
 */
function exampleaddon_submit(array $association, string $placekey, string $standing, array $all_fields): bool
{
    $answer = CivicReceiver::fromHubzilla()->submit(CivicReceiver::envelope('vs01', [
        'association_slug' => $association['slug'],
        'association_channel_id' => (string) $association['channel_id'], // digits as a string
        'participant_id' => $placekey,
        'standing' => $standing,
        'perspective' => 'homeowner',
        // TODO: every field of every Vital Sign that this participant has answered, not only those just changed:
        // the file of the Placekey is replaced whole, and what is not sent is gone.
        'fields' => $all_fields,
    ]));

    if ($answer['result'] === 'stored') {
        info(t('Your answers are on record.'));
        return true;
    }
    if ($answer['result'] === 'not_reached' && $answer['kept']) {
        info(t('Your answers are kept here and will be put on record shortly. You need not send them again.'));
        return true;
    }
    if ($answer['result'] === 'refused') {
        // A pointer such as /fields or /participant_id names a part of the envelope, not of your form.
        foreach ($answer['errors'] as $error) logger("exampleaddon: refused: $error[pointer] $error[detail]");
        notice(t('Your answers could not be put on record as they are. The operator of this site has been told why.'));
        return false;
    }
    notice(t('Your answers could not be saved anywhere just now. Please keep this page open and try again later.'));
    return false;
}
