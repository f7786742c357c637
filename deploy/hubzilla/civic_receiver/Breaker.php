<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * Remembers time-outs across all processes of the web server, so that a receiver that hangs never holds all of them: after
 * two time-outs in a row the web path spools at once for 30 s, then lets one process try. Until these two have timed out, only
 * two processes wait at once. Small files in the spool, under locks. Where they cannot be used nothing is remembered, and every
 * process waits by itself.
 */
final class Breaker
{
	private const IN_A_ROW = 2;
	private const SECONDS = 30;
	/** As many as it takes to open the breaker. */
	private const PLACES = ['lock-place-1', 'lock-place-2'];
	/** A receiver that is well answers many posts in this time. */
	private const PLACE_WAIT = 1;

	public function __construct(private Files $files)
	{
	}

	/** Whether the web path is to spool without asking. The one that is let in when the time is over shuts the others out. */
	public function isOpen(): bool
	{
		return $this->change(function (array $state): array {
			if ($state['count'] < self::IN_A_ROW) {
				return [false, null];
			}
			$open = $state['until'] > time() && $state['until'] <= time() + self::SECONDS;
			return [$open, $open ? null : ['until' => time() + self::SECONDS] + $state];
		}) ?? false;
	}

	/**
	 * A place to wait for the receiver in: held until it is closed. False when all are taken, true when places cannot be had here.
	 * A place is waited for only as long as they change hands, so that a burst of submissions does not wait one after the other.
	 *
	 * @return resource|bool
	 */
	public function place()
	{
		$places = array_map($this->files->open(...), self::PLACES);
		if (in_array(null, $places, true)) {
			return true;
		}
		for ($end = microtime(true) + self::PLACE_WAIT; microtime(true) < $end; usleep(20000)) {
			foreach ($places as $n => $place) {
				if ($this->files->acquire($place, 0)) {
					@touch("{$this->files->path}/" . self::PLACES[$n]);
					return $place;
				}
			}
			$lastTaken = max(array_map(fn($place) => fstat($place)['mtime'], $places));
			if ($lastTaken < time() - self::PLACE_WAIT) {
				return false;
			}
		}
		return false;
	}

	public function timedOut(): void
	{
		$this->change(fn(array $state): array => [true, ['count' => $state['count'] + 1, 'until' => time() + self::SECONDS]]);
	}

	public function answered(): void
	{
		$this->change(fn(array $state): array => [true, $state['count'] > 0 ? ['count' => 0, 'until' => 0] : null]);
	}

	/** @param callable(array): array{bool, ?array} $how the answer and, if anything changes, the new state */
	private function change(callable $how): ?bool
	{
		if ($this->files->problem() !== '') {
			return null;
		}
		$file = $this->files->open('breaker');
		// a holder works for microseconds
		if (! $file || ! $this->files->acquire($file, 1)) {
			return null;
		}
		$read = json_decode((string) stream_get_contents($file, 200, 0), true);
		$state = ['count' => (int) ($read['count'] ?? 0), 'until' => (int) ($read['until'] ?? 0)];
		[$answer, $next] = $how($state);
		if ($next !== null && ftruncate($file, 0) && rewind($file)) {
			fwrite($file, (string) json_encode($next));
		}
		fclose($file);
		return $answer;
	}
}
