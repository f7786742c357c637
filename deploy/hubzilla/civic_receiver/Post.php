<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * Sends one post and judges the answer. Only answers of the receiver count: a refusal must be a problem document of the receiver,
 * and a receipt must be for the envelope that was sent. Every other answer means that the URL is wrong or that something is in
 * between.
 *
 * Each post has a curl handle of its own. It follows no redirects (the token goes only to the configured address), uses no proxy
 * of the environment, and trusts the CA store of the system. It has 2 s to connect and 8 s in all, and reads at most 256 KiB of
 * an answer.
 */
final class Post
{
	private const CONNECT_MS = 2000;
	private const TOTAL_MS = 8000;
	private const LONGEST_ANSWER = 262144;
	private const MOST_ERRORS = 100;
	private const PROBLEM = 'urn:civic-orchestrator:problem:';

	/** Whether the last post ended by its time limit. */
	public bool $timedOut = false;

	/** The token is read from its file for each post, so that a rotation needs no restart. It is never passed as a parameter. */
	public function __construct(private string $url, private string $tokenFile)
	{
	}

	/** $record: the envelope as it is stored, to compare with the receipt; null when the body does not show it. */
	public function send(string $body, ?array $record): array
	{
		$this->timedOut = false;
		[$token, $problem] = $this->token();
		if ($problem !== '') {
			return Answer::waiting(0, Answer::TOKEN, $problem);
		}
		[$status, $type, $text, $error, $redirect] = $this->request($body, $token);
		if ($status === 0) {
			return Answer::waiting(0, Answer::SILENT, 'No answer from the receiver. ' . Text::plain($error));
		}
		$said = strlen($text) > self::LONGEST_ANSWER ? null : json_decode($text, true, 32);
		$said = is_array($said) ? $said : [];
		if ($status === 200 || $status === 201) {
			return self::receipt($status, $said, $record);
		}
		$isProblem = str_starts_with(strtolower($type), 'application/problem+json')
			&& is_string($said['type'] ?? null) && str_starts_with($said['type'], self::PROBLEM);
		if (! $isProblem) {
			return Answer::waiting($status, Answer::FOREIGN, self::foreign($status, $redirect));
		}
		return self::verdict($status, substr($said['type'], strlen(self::PROBLEM)), $said);
	}

	private static function verdict(int $status, string $name, array $said): array
	{
		$detail = Text::plain(trim(self::string($said, 'title') . ': ' . self::string($said, 'detail'), ': '));
		if (in_array($status, [400, 413, 415, 422], true)) {
			return Answer::make('refused', $status, $detail, '', ['errors' => self::errors($said['errors'] ?? [])]);
		}
		if ($status === 401) {
			$detail = 'The receiver does not accept the node token. Compare the token file with its NODE_TOKEN.';
			return Answer::waiting($status, Answer::TOKEN, $detail);
		}
		if ($status >= 500 || $status === 408) {
			$cause = match ($name) {
				'paused', 'draining' => Answer::PAUSED,
				'disk-full' => Answer::FULL,
				default => Answer::BUSY,
			};
			return Answer::waiting($status, $cause, "The receiver cannot store now ($status). $detail");
		}
		return Answer::waiting($status, Answer::FOREIGN, "The receiver says that the URL is wrong ($status). $detail");
	}

	/** Accepts only a receipt of the receiver for this submission. Any other answer with 2xx is treated as a wrong URL. */
	private static function receipt(int $status, array $said, ?array $record): array
	{
		if (($said['status'] ?? null) !== 'stored') {
			return Answer::waiting($status, Answer::FOREIGN, self::foreign($status, ''));
		}
		$expected = [];
		foreach ($record === null ? [] : ['addon', 'association_slug', 'participant_id'] as $member) {
			$expected[$member] = $record[$member] ?? null;
		}
		$id = $record === null ? null : Record::id($record);
		foreach ($expected + ($id === null ? [] : ['id' => $id]) as $member => $value) {
			if (($said[$member] ?? null) !== $value) {
				$detail = "What answered ($status) has a receipt for another submission ($member differs). Something else than the receiver answers at this URL.";
				return Answer::waiting($status, Answer::FOREIGN, $detail);
			}
		}
		return Answer::make('stored', $status, '', '', ['receipt' => self::printable($said)]);
	}

	private static function foreign(int $status, string $redirect): string
	{
		$from = "The answer ($status) is not the receiver's: the URL is wrong, or something stands in between.";
		if ($status < 300 || $status >= 400) {
			return $from;
		}
		return "The answer is a redirect ($status)" . ($redirect === '' ? '' : ' to ' . Text::plain($redirect, 200))
			. '. Redirects are not followed, because the token would go along: set the URL of the receiver itself.';
	}

	private static function string(array $said, string $member): string
	{
		return is_string($said[$member] ?? null) ? $said[$member] : '';
	}

	/** The entries that have the form of an error of the receiver, as text for a log and a page. */
	private static function errors(mixed $errors): array
	{
		$found = [];
		foreach (is_array($errors) ? array_slice($errors, 0, self::MOST_ERRORS) : [] as $error) {
			if (is_array($error) && is_string($error['pointer'] ?? null) && is_string($error['detail'] ?? null)) {
				$found[] = ['pointer' => Text::plain($error['pointer']), 'detail' => Text::plain($error['detail'])];
			}
		}
		return $found;
	}

	private static function printable(array $said): array
	{
		$found = [];
		foreach ($said as $key => $value) {
			$value = match (true) {
				is_string($value) => Text::plain($value),
				$key === 'warnings' => self::errors($value),
				is_array($value) => null,
				default => $value,
			};
			if ($value !== null) {
				$found[Text::plain((string) $key)] = $value;
			}
		}
		return $found;
	}

	/** @return array{string, string} the token, or why there is none */
	private function token(): array
	{
		// is_file() is asked first, because opening a FIFO would block the process.
		$text = is_file($this->tokenFile) ? @file_get_contents($this->tokenFile, false, null, 0, 4096) : false;
		if ($text === false) {
			return ['', "The token file $this->tokenFile is missing, or this user cannot read it."];
		}
		$token = trim($text);
		$mistake = match (true) {
			$token === '' => 'is empty.',
			str_starts_with($token, 'NODE_TOKEN') => 'begins with NODE_TOKEN=: a whole line of env_file was pasted. Only what stands behind the = belongs there.',
			! preg_match('/^[!-~]+$/D', $token) => 'holds more than one word, or characters that a token does not have.',
			default => '',
		};
		return [$token, $mistake === '' ? '' : "The token file $this->tokenFile $mistake"];
	}

	/** @return array{int, string, string, string, string} status (0: none), content type, body, error, target of a redirect */
	private function request(string $body, string $token): array
	{
		$socket = str_starts_with($this->url, 'unix:') ? '/' . ltrim(substr($this->url, 5), '/') : '';
		$text = '';
		$curl = curl_init($socket === '' ? $this->url : 'http://localhost/receive');
		$options = [
			CURLOPT_POSTFIELDS => $body,
			// curl wants a list of lines. Of an associative array it sees only the values, and drops them in silence. "Expect:"
			// keeps curl from waiting a second for a 100 before it sends a long body.
			CURLOPT_HTTPHEADER => ['Content-Type: application/json', "X-Node-Token: $token", 'Expect:'],
			CURLOPT_CONNECTTIMEOUT_MS => self::CONNECT_MS,
			CURLOPT_TIMEOUT_MS => self::TOTAL_MS,
			CURLOPT_NOSIGNAL => true,
			CURLOPT_FOLLOWLOCATION => false,
			CURLOPT_PROXY => '',
			CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
			CURLOPT_WRITEFUNCTION => function ($_, string $chunk) use (&$text): int {
				$text .= substr($chunk, 0, self::LONGEST_ANSWER + 1 - strlen($text));
				return strlen($text) > self::LONGEST_ANSWER ? -1 : strlen($chunk);
			},
		] + ($socket === '' ? [] : [CURLOPT_UNIX_SOCKET_PATH => $socket]);
		if (! $curl || ! curl_setopt_array($curl, $options)) {
			return [0, '', '', 'The URL cannot be used.', ''];
		}
		$isWhole = curl_exec($curl);
		$this->timedOut = curl_errno($curl) === CURLE_OPERATION_TIMEDOUT;
		$isTooLong = strlen($text) > self::LONGEST_ANSWER;
		if (! $isWhole && ! $isTooLong) {
			return [0, '', '', curl_error($curl), '']; // an incomplete answer does not count, although its status is known
		}
		$status = (int) curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
		$type = (string) curl_getinfo($curl, CURLINFO_CONTENT_TYPE);
		return [$status, $type, $text, '', (string) curl_getinfo($curl, CURLINFO_REDIRECT_URL)];
	}
}
