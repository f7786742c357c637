<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

use JsonException;
use stdClass;

/**
 * The envelope as it is stored, its id and its digest (SPEC 3 and 4). The rules that differ between addons are in rules.php,
 * which is generated from the contracts. No code here names an addon.
 */
final class Record
{
	private const FLAGS = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION;
	private const LONGEST_RAW = 256;

	/** @return array<string, array<string, array{latest: bool, unhashed: list<string>, members: list<string>, maps: list<string>}>> */
	private static function rules(): array
	{
		static $rules;
		return $rules ??= require __DIR__ . '/rules.php';
	}

	/** The rule of the contract that an envelope names. If this copy does not know that version, the rule of another version; else null. */
	private static function rule(array $envelope): ?array
	{
		[$addon, $version] = [$envelope['addon'] ?? null, $envelope['contract_version'] ?? null];
		$versions = is_string($addon) ? self::rules()[$addon] ?? [] : [];
		return (is_string($version) ? $versions[$version] ?? null : null) ?? (array_values($versions)[0] ?? null);
	}

	/** The first published version of an addon's contract. The addon chooses a later one by `contract_version`. */
	public static function firstVersion(string $addon): string
	{
		return (string) (array_key_first(self::rules()[$addon] ?? []) ?? '1.0');
	}

	/** Whether only the latest envelope of an address is kept. Of an unknown addon every envelope is assumed to be kept. */
	public static function isLatestOnly(array $envelope): bool
	{
		return self::rule($envelope)['latest'] ?? false;
	}

	public static function json(array $envelope): string
	{
		return json_encode($envelope, self::FLAGS);
	}

	/** Normalises PHP's spellings before the post, as the receiver would (SPEC 3), so that the digest is that of the record. */
	public static function normalised(array|stdClass $envelope): array
	{
		$envelope = (array) $envelope;
		if (is_int($envelope['association_channel_id'] ?? null)) {
			$envelope['association_channel_id'] = (string) $envelope['association_channel_id'];
		}
		$rule = self::rule($envelope);
		foreach ($rule['maps'] ?? [] as $map) {
			if (($envelope[$map] ?? null) === []) {
				$envelope[$map] = new stdClass(); // PHP's empty map
			}
		}
		if (in_array('pinned_scenario_ids', $rule['members'] ?? [], true) && isset($envelope['pinned_scenario_ids'])) {
			$envelope['pinned_scenario_ids'] = self::pins($envelope['pinned_scenario_ids']);
		}
		return $envelope;
	}

	/** Makes a list of the pinned ids. array_unique and array_filter leave gaps, and PHP prints a list with gaps as an object. */
	private static function pins(mixed $pins): mixed
	{
		$list = $pins instanceof stdClass ? (array) $pins : $pins;
		if (! is_array($list) || preg_grep('/^(0|[1-9][0-9]*)$/D', array_map('strval', array_keys($list)), PREG_GREP_INVERT)) {
			return $pins;
		}
		uksort($list, fn($a, $b) => strlen((string) $a) <=> strlen((string) $b) ?: strcmp((string) $a, (string) $b));
		$once = [];
		foreach ($list as $pin) {
			if (! in_array($pin, $once, true)) {
				$once[] = $pin;
			}
		}
		return $once;
	}

	/**
	 * The id that the receiver gives a record of an addon that keeps every record: SHA-256 of the RFC 8785 form of the stored
	 * envelope. Null when there is no id, or when this copy of the client does not know the contract.
	 */
	public static function id(array $envelope): ?string
	{
		$rule = self::rule($envelope);
		if ($rule === null || $rule['latest'] || ! isset(self::rules()[$envelope['addon']][$envelope['contract_version'] ?? ''])) {
			return null;
		}
		$stored = self::normalised($envelope);
		if (in_array('g1_tx_hash', $rule['members'], true)) {
			$g1 = self::g1($stored['g1_tx_hash'] ?? null);
			if ($g1 === null) {
				return null;
			}
			$stored = $g1 + $stored;
		}
		try {
			$content = array_diff_key($stored, array_flip([...$rule['unhashed'], 'receipt']));
			return hash('sha256', self::canonical($content, true));
		} catch (JsonException) {
			return null;
		}
	}

	/** The members that are stored for a payment hash (SPEC 3, "Normalisation, the whole list"); null when only the receiver knows the text. */
	private static function g1(mixed $sent): ?array
	{
		if ($sent === null || $sent === false) {
			return ['g1_tx_hash' => null];
		}
		if (! is_string($sent)) {
			return is_int($sent) || $sent === true ? ['g1_tx_hash' => null, 'g1_tx_hash_raw' => (string) json_encode($sent)] : null;
		}
		// These are the characters that JavaScript's trim() removes.
		$blank = '[\x09-\x0d\p{Z}\x{feff}]*';
		if (! preg_match("/^$blank(.*?)$blank\$/Dsu", $sent, $found)) {
			return null;
		}
		if ($found[1] === '') {
			return ['g1_tx_hash' => null];
		}
		if (preg_match('/^(?:0x)?([0-9A-Fa-f]{64})$/D', $found[1], $hex)) {
			return ['g1_tx_hash' => '0x' . strtolower($hex[1])];
		}
		preg_match('/^.{0,' . self::LONGEST_RAW . '}/su', $sent, $first);
		return ['g1_tx_hash' => null, 'g1_tx_hash_raw' => $first[0]];
	}

	/**
	 * The content digest of a record: blake2b-256 over its RFC 8785 form, without the members that are not its content. A wallet may
	 * write "scn01:<digest>" as the comment of a transfer. Null without the sodium extension; then submit without a comment.
	 */
	public static function digest(array|stdClass $record): ?string
	{
		if (! function_exists('sodium_crypto_generichash')) {
			return null;
		}
		$others = ['g1_tx_hash', 'g1_tx_hash_raw', 'submitted_at', 'node_token_hash', 'receipt'];
		$content = array_diff_key(self::normalised($record), array_flip($others));
		return bin2hex(sodium_crypto_generichash(self::canonical($content, true), '', 32));
	}

	/** The RFC 8785 form. As for json_encode, an array with keys 0..n-1 in order is a list, also []; every other array is a map. */
	public static function canonical(mixed $value, bool $isMap = false): string
	{
		if ($value instanceof stdClass) {
			return self::canonical((array) $value, true);
		}
		if (is_int($value) || is_float($value)) {
			return self::number((float) $value);
		}
		if (is_object($value)) {
			throw new JsonException('Only arrays and stdClass have a canonical form');
		}
		if (! is_array($value)) {
			return json_encode($value, self::FLAGS | JSON_UNESCAPED_LINE_TERMINATORS);
		}
		if (! $isMap && array_is_list($value)) {
			return '[' . implode(',', array_map(fn($item) => self::canonical($item), $value)) . ']';
		}
		// UTF-16 sorts characters beyond U+FFFF before U+E000 to U+FFFF, bytes of UTF-8 sort them after. So exchange the lead bytes.
		$utf16 = fn($key) => strtr((string) $key, "\xEE\xEF\xF0\xF1\xF2\xF3\xF4", "\xF3\xF4\xEE\xEF\xF0\xF1\xF2");
		uksort($value, fn($a, $b) => strcmp($utf16($a), $utf16($b)));
		$members = [];
		foreach ($value as $key => $item) {
			$members[] = self::canonical((string) $key) . ':' . self::canonical($item);
		}
		return '{' . implode(',', $members) . '}';
	}

	/** Prints a number as ECMAScript does. %.*H with -1 gives the shortest digits that read back as the same double, whatever php.ini says. */
	private static function number(float $x): string
	{
		if (! is_finite($x)) {
			throw new JsonException('Inf and NaN cannot be JSON encoded');
		}
		if ($x == 0.0) {
			return '0';
		}
		preg_match('/^(-?)(\d+)(?:\.(\d+))?(?:E([+-]\d+))?$/i', sprintf('%.*H', -1, $x), $part);
		$digits = $part[2] . ($part[3] ?? '');
		$point = strlen($part[2]) + (int) ($part[4] ?? 0) - (strlen($digits) - strlen(ltrim($digits, '0')));
		$digits = trim($digits, '0');
		$count = strlen($digits);
		return $part[1] . match (true) { // the value is 0.digits times ten to the power of point
			$point > 21 || $point < -5 => $digits[0] . ($count > 1 ? '.' . substr($digits, 1) : '') . sprintf('e%+d', $point - 1),
			$point >= $count => str_pad($digits, $point, '0'),
			$point > 0 => substr($digits, 0, $point) . '.' . substr($digits, $point),
			default => '0.' . str_repeat('0', -$point) . $digits,
		};
	}

	/** Finds where and why json_encode fails, because json_encode itself does not name the place. */
	public static function unprintable(mixed $value, string $at = '', int $depth = 0): array
	{
		$error = match (true) {
			$depth > 500 => 'is nested too deep',
			is_string($value) && ! preg_match('//u', $value) => 'is not valid UTF-8; convert it before the post',
			is_float($value) && ! is_finite($value) => 'is infinite or not a number',
			is_resource($value) => 'is not a value that JSON has',
			default => null,
		};
		if ($error !== null) {
			return [['pointer' => Text::plain($at), 'detail' => $error]];
		}
		$errors = [];
		foreach (is_array($value) || $value instanceof stdClass ? (array) $value : [] as $key => $item) {
			if (! preg_match('//u', (string) $key)) {
				$errors[] = ['pointer' => Text::plain($at), 'detail' => 'has a key that is not valid UTF-8'];
				continue;
			}
			$below = $at . '/' . strtr((string) $key, ['~' => '~0', '/' => '~1']);
			array_push($errors, ...self::unprintable($item, $below, $depth + 1));
		}
		return $errors;
	}
}
