<?php

// Generated from contracts/ by "npm run schemas"; do not change by hand. By addon and version: whether only the latest
// envelope of an address is kept, which members are no part of the id, which are maps, and all that the contract names.

return [
	'vs01' => [
		'1.0' => ['latest' => true, 'unhashed' => [], 'maps' => ['fields'], 'members' => ['addon', 'contract_version', 'association_slug', 'association_channel_id', 'participant_id', 'submitted_at', 'standing', 'vs_code', 'perspective', 'fields', 'g1_tx_hash_raw', 'receipt']],
	],
	'dsc01' => [
		'1.0' => ['latest' => true, 'unhashed' => [], 'maps' => ['fields'], 'members' => ['addon', 'contract_version', 'association_slug', 'association_channel_id', 'participant_id', 'submitted_at', 'standing', 'fields', 'g1_tx_hash_raw', 'receipt']],
	],
	'scn01' => [
		'1.0' => ['latest' => false, 'unhashed' => ['node_token_hash'], 'maps' => ['vs_snapshot', 'dsc_snapshot'], 'members' => ['addon', 'contract_version', 'association_slug', 'association_channel_id', 'participant_id', 'submitted_at', 'standing', 'pinned_scenario_ids', 'narrative', 'vs_snapshot', 'dsc_snapshot', 'g1_tx_hash', 'g1_tx_hash_raw', 'receipt', 'node_token_hash']],
	],
];
