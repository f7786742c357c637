<?php

namespace Zotlabs\Module;

use Zotlabs\Web\Controller;

require_once __DIR__ . '/exampleaddon.php';

/** The page /exampleaddon. */
class Exampleaddon extends Controller
{
	/** The page that post() shows in the same request. There is no redirect, so that nothing that was typed is lost. */
	private string $page = '';

	public function post()
	{
		$uid = local_channel();
		if (! $uid) {
			return;
		}
		check_form_security_token_redirectOnErr('/exampleaddon', 'exampleaddon');
		$said = [];
		foreach (['association', 'placekey', 'scenario', 'narrative', 'nonce'] as $name) {
			// Keep the text exactly as it was typed, because the record does not hold HTML.
			$said[$name] = is_string($_POST[$name] ?? null) ? $_POST[$name] : '';
		}
		if (! exampleaddon_is_own($said['nonce'])) {
			$this->page = exampleaddon_form($said, t('This form is from another session. Please send it again.'));
			return;
		}
		// TODO: your own checks: is this a member of the association, which sets exist, which standing
		$answer = exampleaddon_submit($said['nonce'], [
			'association_slug' => trim($said['association']),
			'association_channel_id' => (string) $uid, // TODO: the channel id of the association; digits as a string
			'participant_id' => trim($said['placekey']),
			'standing' => 'participant',
			'pinned_scenario_ids' => [trim($said['scenario'])],
			'narrative' => $said['narrative'],
			'vs_snapshot' => [], // TODO: all Vital Signs and categories of this participant, field id => answer
			'dsc_snapshot' => [],
		]);
		$this->page = exampleaddon_answer($answer, $said);
	}

	public function get()
	{
		if (! local_channel()) {
			notice(t('Permission denied.') . EOL);
			return '';
		}
		return $this->page !== '' ? $this->page : exampleaddon_form([]);
	}
}
