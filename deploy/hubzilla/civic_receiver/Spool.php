<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * What waits, and what was refused. A file is one envelope, the bytes that are posted:
 *
 *	<microseconds, 16 digits>.<site, 8 hex>-<association, 8 hex>-<a|c><address or content, 32 hex>.json
 *
 * `a`: of an addon of which the latest envelope of an address is the record. `c`: of one of which every envelope is kept.
 * Beside a file, once it was posted in vain, <name>.why holds the cause of its waiting. Invariants:
 *	1. A name under which a file is found is a whole file.
 *	2. Of one address (addon, association, Placekey) one envelope is posted at a time, under a lock, and none after a
 *	   newer one was stored: the files of an address are removed oldest first, the stored one last.
 *	3. At rest an address has one waiting file, its latest.
 *	4. A file of another site is never posted.
 * Not promised: order between two submissions of one address that overlap in time.
 */
final class Spool
{
	private const NAME = '/^([0-9]{16})\.([0-9a-f]{8})-([0-9a-f]{8})-([ac])([0-9a-f]{32})\.json$/D';
	/** As version 1.0 named its files: without a site and a kind. */
	private const OLD_NAME = '/^[0-9]{16}\.[0-9a-f]{8}-[0-9a-f]{32}\.json$/D';
	/** Seconds that cron leaves a new file to the process that wrote it: longer than its lock wait and its post. */
	private const GRACE = 60;
	private const HOUR = 3600;
	/** As much as MAX_BODY_BYTES can be, and what PHP needs beside it. */
	private const LONGEST = 8388608;

	private string $site;

	public function __construct(public readonly Files $files, string $site)
	{
		$this->site = substr(hash('sha256', $site), 0, 8);
	}

	/** What stands behind the time in the name of an envelope's file: the same for all envelopes that replace each other. */
	public function key(array $envelope, string $body): string
	{
		$address = [$envelope['addon'] ?? null, $envelope['association_slug'] ?? null, $envelope['participant_id'] ?? null];
		$isLatestOnly = Record::isLatestOnly($envelope);
		$one = $isLatestOnly ? (string) json_encode($address) : $body;
		$association = (string) json_encode([$address[0], $address[1]]);
		return "$this->site-" . substr(hash('sha256', $association), 0, 8) . '-' . ($isLatestOnly ? 'a' : 'c') . substr(hash('sha256', $one), 0, 32);
	}

	/** @return resource|null the lock file of an address; 256 of them serve all */
	public function lockFile(string $key)
	{
		return $this->files->open('lock-' . substr($key, -2));
	}

	public function keep(string $name, string $body): bool
	{
		return $this->files->problem() === '' && $this->files->write($name, $body, time() + self::GRACE);
	}

	public function has(string $name): bool
	{
		clearstatcache();
		return $this->files->isOwn($name);
	}

	public function body(string $name): ?string
	{
		return $this->files->read($name, self::LONGEST);
	}

	/** Microseconds. Not a cast of the whole name: "….8e3" would be read as an exponent. */
	public static function time(string $name): int
	{
		return (int) substr($name, 0, 16);
	}

	public static function keyOf(string $name): string
	{
		return substr($name, 17, -5);
	}

	public static function associationOf(string $name): string
	{
		return substr($name, 26, 8);
	}

	public static function isLatestOnly(string $key): bool
	{
		return substr($key, 18, 1) === 'a';
	}

	/**
	 * The names of this site's files, in no order. What is not to be posted is said as a problem and left out.
	 *
	 * @return \Generator<string>
	 */
	public function waiting(): \Generator
	{
		$others = 0;
		foreach ($this->files->names() as $name) {
			if (preg_match(self::OLD_NAME, $name)) {
				$name = $this->adopt($name) ?? '';
			}
			if (! preg_match(self::NAME, $name, $part)) {
				continue;
			}
			if ($part[2] !== $this->site) {
				$others++;
			} elseif ($this->files->isOwn($name)) {
				yield $name;
			}
		}
		if ($others > 0) {
			$this->files->say("$others submissions of another site lie in {$this->files->path}: they are not posted from here. Give each site a spool of its own: util/config civic_receiver spool PATH");
		}
	}

	/** A file of version 1.0 gets the name that it has now. */
	private function adopt(string $name): ?string
	{
		$body = $this->body($name);
		$envelope = $body === null ? null : json_decode($body, true);
		$new = substr($name, 0, 17) . $this->key(is_array($envelope) ? $envelope : [], $body ?? '') . '.json';
		return $body !== null && @rename("{$this->files->path}/$name", "{$this->files->path}/$new") ? $new : null;
	}

	/**
	 * The names of one address, oldest first. Of an addon that keeps every envelope only this very content has the key, so
	 * nothing has to be looked for.
	 */
	public function ofAddress(string $key): array
	{
		$names = [];
		foreach (self::isLatestOnly($key) ? $this->waiting() : [] as $name) {
			if (self::keyOf($name) === $key) {
				$names[] = $name;
			}
		}
		sort($names, SORT_STRING);
		return $names;
	}

	/** When a file is to be posted; false when it is gone. Nothing is put off by more than an hour: a later time is that of a clock since set back. */
	public function due(string $name): int|false
	{
		clearstatcache();
		$due = @filemtime("{$this->files->path}/$name");
		return $due !== false && $due > time() + self::HOUR ? 0 : $due;
	}

	/** Why a file waits: cause, detail, status, at, url; empty when it was not posted yet. */
	public function why(string $name): array
	{
		$why = @lstat("{$this->files->path}/$name.why") ? json_decode((string) $this->files->read("$name.why", 8192), true) : null;
		return array_map(fn($value) => is_int($value) ? $value : Text::plain($value), is_array($why) ? $why : []);
	}

	/** It waits as long again as it has waited, at most an hour; what is wrong with a URL or a token is not mended in a minute. */
	public function putOff(string $name, array $answer, string $url): void
	{
		$isSlow = in_array($answer['cause'], [Answer::FOREIGN, Answer::TOKEN], true) || $answer['result'] === 'refused';
		$waited = time() - intdiv(self::time($name), 1000000);
		$why = array_intersect_key($answer, ['cause' => 0, 'detail' => 0, 'status' => 0]) + ['at' => gmdate(DATE_ATOM), 'url' => $url];
		$this->files->write("$name.why", (string) json_encode($why));
		@touch("{$this->files->path}/$name", time() + ($isSlow ? self::HOUR : max(60, min(self::HOUR, $waited))));
	}

	public function remove(string $name): void
	{
		@unlink("{$this->files->path}/$name");
		@unlink("{$this->files->path}/$name.why");
	}

	/** Into refused/, with the reasons beside it. False when that directory cannot be used: then the file waits where it is. */
	public function refuse(string $name, array $answer): bool
	{
		$reasons = ['refused_at' => gmdate(DATE_ATOM)] + array_diff_key($answer, ['kept' => 0, 'cause' => 0]);
		$this->files->write("refused/$name.reasons", (string) json_encode($reasons, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES));
		if (! $this->files->mayEnter('refused') || ! @rename("{$this->files->path}/$name", "{$this->files->path}/refused/$name")) {
			return false;
		}
		@unlink("{$this->files->path}/$name.why");
		return true;
	}

	/** A stored submission of an address makes what was refused of it before a matter of the past. */
	public function forgetRefused(string $key): void
	{
		foreach (self::isLatestOnly($key) ? $this->files->names('refused') : [] as $name) {
			if (str_starts_with(substr($name, 17), "$key.json")) {
				@unlink("{$this->files->path}/refused/$name");
			}
		}
	}

	/** The reasons of a refusal as they were written down, printable. */
	public function reasons(string $name): array
	{
		$said = json_decode((string) $this->files->read("refused/$name.reasons", 65536), true);
		$errors = [];
		foreach (is_array($said['errors'] ?? null) ? $said['errors'] : [] as $error) {
			$errors[] = ['pointer' => Text::plain($error['pointer'] ?? ''), 'detail' => Text::plain($error['detail'] ?? '')];
		}
		$detail = Text::plain($said['detail'] ?? '');
		return [
			'refused_at' => Text::plain($said['refused_at'] ?? ''),
			'status' => (int) ($said['status'] ?? 0),
			'detail' => $detail === '' ? 'no reasons were kept' : $detail,
			'errors' => $errors,
		];
	}

	/** Removes what processes that were killed have left, and what is of no use any more. */
	public function sweep(): void
	{
		foreach ([['', '.new-', self::HOUR], ['forms', '', 2 * 86400]] as [$below, $begin, $seconds]) {
			foreach ($this->files->names($below) as $name) {
				$path = "{$this->files->path}/$below/$name";
				if (str_starts_with($name, $begin) && @filemtime($path) < time() - $seconds) {
					@unlink($path);
				}
			}
		}
		foreach ($this->files->names() as $name) {
			if (str_ends_with($name, '.json.why') && ! @lstat("{$this->files->path}/" . substr($name, 0, -4))) {
				@unlink("{$this->files->path}/$name");
			}
		}
	}

	/** Every lock is of this user, or posts are held up in silence. */
	public function checkLocks(): void
	{
		foreach ($this->files->names() as $name) {
			if (str_starts_with($name, 'lock-') || $name === 'breaker') {
				$this->files->isOwn($name);
			}
		}
	}
}
