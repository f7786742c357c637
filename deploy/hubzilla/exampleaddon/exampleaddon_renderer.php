<?php

/** The pages of the example addon: the form, the answer to the participant, and the operator's page. */

use CivicReceiver\V2\Hubzilla;
use Zotlabs\Lib\Config;

/**
 * The nonce of a form. A hash binds it to the session. It is not kept in the session, because each request of Hubzilla writes the
 * whole session: of two pages that are opened at once, one would remove the nonce of the other.
 */
function exampleaddon_nonce(string $random): string
{
	return $random . hash_hmac('sha256', $random, (string) session_id());
}

function exampleaddon_is_own(string $nonce): bool
{
	return hash_equals(exampleaddon_nonce(substr($nonce, 0, 32)), $nonce);
}

/** $said: the answers that were typed before, so that nobody has to type them again. Templates escape; escape_tags() would store &amp;. */
function exampleaddon_form(array $said, string $message = ''): string
{
	return replace_macros(get_markup_template('exampleaddon_form.tpl', 'addon/exampleaddon'), [
		'$title' => t('What happened?'),
		'$message' => $message,
		'$action' => z_root() . '/exampleaddon',
		'$form_security_token' => get_form_security_token('exampleaddon'),
		'$nonce' => exampleaddon_nonce(bin2hex(random_bytes(16))),
		'$association' => ['association', t('Association'), $said['association'] ?? '', t('Its short name, such as heron-ridge-condominium')],
		'$placekey' => ['placekey', t('Placekey of the address'), $said['placekey'] ?? '', t('Such as SASE1-22c-at-5sb-8hm-54v')],
		'$scenario' => ['scenario', t('Scenario'), $said['scenario'] ?? '', t('Such as DSC-01-S03')],
		'$narrative' => ['narrative', t('In your own words'), $said['narrative'] ?? '', ''],
		'$submit' => t('Put on record'),
	]);
}

/** The answer to the participant. It never claims that somebody was told who was not. */
function exampleaddon_answer(array $answer, array $said): string
{
	if ($answer['result'] === 'stored') {
		return exampleaddon_message(t('Your answers are on record.'));
	}
	if ($answer['result'] === 'not_reached' && $answer['kept']) {
		return exampleaddon_message(t('Your answers are kept here and will be put on record shortly. You need not send them again.'));
	}
	if ($answer['result'] === 'refused') {
		$copy = $answer['kept'] ? ' ' . t('A copy is kept for the operator of this site.') : '';
		return exampleaddon_form($said, t('Your answers could not be put on record as they are. Please keep this page open, or mend what is wrong and send it again.') . $copy);
	}
	return exampleaddon_form($said, t('Your answers could not be saved anywhere just now. Please keep this page open and try again later.'));
}

function exampleaddon_message(string $message): string
{
	return replace_macros(get_markup_template('exampleaddon_answer.tpl', 'addon/exampleaddon'), [
		'$title' => t('What happened?'),
		'$message' => $message,
	]);
}

function exampleaddon_admin_page(array $status): string
{
	$refused = [];
	foreach ($status['refused'] as $name => $reasons) {
		$errors = array_map(fn($error) => "$error[pointer] $error[detail]", $reasons['errors']);
		$refused[] = ['name' => $name, 'detail' => $reasons['detail'], 'errors' => implode('; ', $errors)];
	}
	return replace_macros(get_markup_template('exampleaddon_admin.tpl', 'addon/exampleaddon'), [
		'$action' => z_root() . '/admin/addons/exampleaddon',
		'$form_security_token' => get_form_security_token('exampleaddon_admin'),
		'$news' => Hubzilla::news($status),
		'$mail' => Hubzilla::mailFailed() ? t('A mail about this could not be sent to the administrator of this site: nobody was told.') : '',
		'$state' => sprintf(
			t('%1$d submissions wait (%2$d bytes), the oldest for %3$d s. %4$d were refused. The newest fifty of each are shown.'),
			$status['waiting'],
			$status['bytes'],
			$status['oldest_seconds'],
			$status['refused_count']
		),
		'$waits' => $status['waits'],
		'$refused' => $refused,
		'$waiting_title' => t('Waiting'),
		'$refused_title' => t('Refused'),
		'$post_all' => t('Post all now'),
		'$heads_channel' => [
			'heads_channel',
			t('Publish heads'),
			(string) Config::Get('exampleaddon', 'heads_channel', ''),
			t('The nickname of a channel that publishes the heads of the records once a day; empty for none'),
		],
		'$save' => t('Save'),
	]);
}
