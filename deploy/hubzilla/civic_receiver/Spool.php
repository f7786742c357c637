<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * The submissions that wait and those that were refused. A file holds exactly the bytes of one envelope that are posted:
 *
 *	<microseconds, 16 digits>.<site, 8 hex>-<association, 8 hex>-<a|c><address or content, 32 hex>.json
 *
 * `a` stands for an addon that keeps only the latest envelope of an address, `c` for an addon that keeps every envelope. After a
 * post without success, <name>.why beside the file holds the cause. Invariants:
 *	1. Every file that has such a name is whole.
 *	2. Of one address (addon, association, Placekey) one envelope is posted at a time, under a lock, and none after a
 *	   newer one was stored. To ensure this, the files of an address are removed oldest first, the stored one last.
 *	3. At rest only the latest submission of an address waits.
 *	4. A file of another site is never posted.
 * Not promised: order between two submissions of one address that overlap in time.
 */
final class Spool
{
	private const NAME = '/^([0-9]{16})\.([0-9a-f]{8})-([0-9a-f]{8})-([ac])([0-9a-f]{32})\.json$/D';
	/** The names of files of version 1.0, which have no site and no kind. */
	private const OLD_NAME = '/^[0-9]{16}\.[0-9a-f]{8}-[0-9a-f]{32}\.json$/D';
	/** For so many seconds cron leaves a new file to the process that wrote it: longer than that process waits for the lock and posts. */
	private const GRACE = 60;
	private const HOUR = 3600;
	/** The largest body, in bytes: more than MAX_BODY_BYTES can be. */
	private const LONGEST = 8388608;

	private string $site;

	public function __construct(public readonly Files $files, string $site)
	{
		$this->site = substr(hash('sha256', $site), 0, 8);
	}

	/** The part after the time in the name of an envelope's file. It is the same for all envelopes that replace each other. */
	public function key(array $envelope, string $body): string
	{
		$address = [$envelope['addon'] ?? null, $envelope['association_slug'] ?? null, $envelope['participant_id'] ?? null];
		$isLatestOnly = Record::isLatestOnly($envelope);
		$one = $isLatestOnly ? (string) json_encode($address) : $body;
		$association = (string) json_encode([$address[0], $address[1]]);
		return "$this->site-" . substr(hash('sha256', $association), 0, 8) . '-' . ($isLatestOnly ? 'a' : 'c') . substr(hash('sha256', $one), 0, 32);
	}

	/** @return resource|null the lock file of an address; all addresses share 256 lock files */
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

	/** The time in microseconds. Only these digits are cast, because PHP would read "….8e3" in the whole name as an exponent. */
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
	 * Yields the names of this site's files, in no order. A file that must not be posted is left out and noted as a problem.
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

	/** Renames a file of version 1.0 to the form of today, and returns the new name. */
	private function adopt(string $name): ?string
	{
		$body = $this->body($name);
		$envelope = $body === null ? null : json_decode($body, true);
		$new = substr($name, 0, 17) . $this->key(is_array($envelope) ? $envelope : [], $body ?? '') . '.json';
		return $body !== null && @rename("{$this->files->path}/$name", "{$this->files->path}/$new") ? $new : null;
	}

	/**
	 * The files of one address, oldest first. If the addon keeps every envelope, no other content has the same key, so there is
	 * nothing to look for.
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

	/** When a file is due; false when it is gone. No file is put off for more than an hour, so a later time means that the clock was set back. */
	public function due(string $name): int|false
	{
		clearstatcache();
		$due = @filemtime("{$this->files->path}/$name");
		return $due !== false && $due > time() + self::HOUR ? 0 : $due;
	}

	/** Why a file waits (cause, detail, status, at, url); empty when it was not posted yet. */
	public function why(string $name): array
	{
		$why = @lstat("{$this->files->path}/$name.why") ? json_decode((string) $this->files->read("$name.why", 8192), true) : null;
		return array_map(fn($value) => is_int($value) ? $value : Text::plain($value), is_array($why) ? $why : []);
	}

	/** Puts a file off for as long as it has waited, at most an hour. After a wrong URL, a wrong token or a refusal it is always an hour. */
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

	/** Moves a file into refused/, with the reasons beside it. False when that directory cannot be used; then the file stays where it is. */
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

	/** Removes the refused submissions of an address after a newer one of this address was stored. */
	public function forgetRefused(string $key): void
	{
		foreach (self::isLatestOnly($key) ? $this->files->names('refused') : [] as $name) {
			if (str_starts_with(substr($name, 17), "$key.json")) {
				@unlink("{$this->files->path}/refused/$name");
			}
		}
	}

	/** The kept reasons of a refusal, made printable. */
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

	/** Removes files that killed processes have left, and files that are of no use any more. */
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

	/** Notes a problem when a lock file belongs to another user, because that would hold posts up in silence. */
	public function checkLocks(): void
	{
		foreach ($this->files->names() as $name) {
			if (str_starts_with($name, 'lock-') || $name === 'breaker') {
				$this->files->isOwn($name);
			}
		}
	}
}
