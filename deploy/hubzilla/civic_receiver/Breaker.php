<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * Remembers time-outs across all processes of the web server, so that a receiver that hangs never blocks all of them. After two
 * time-outs in a row, requests from the web put their envelopes into the spool without asking the receiver for 30 s; then one
 * process tries. Before that, at most two processes wait at once. The state is in small files of the spool, under locks. If they
 * cannot be used, nothing is remembered, and every process waits on its own.
 */
final class Breaker
{
	private const IN_A_ROW = 2;
	private const SECONDS = 30;
	/** There are as many places as time-outs that open the breaker. */
	private const PLACES = ['lock-place-1', 'lock-place-2'];
	/** In seconds. A receiver without trouble answers many posts in this time. */
	private const PLACE_WAIT = 1;

	public function __construct(private Files $files)
	{
	}

	/** Whether envelopes go into the spool without asking the receiver. When the time is over, the first caller gets false, later ones true. */
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
	 * Takes a place to wait for the receiver; the place is held until the file is closed. False when all places are taken, true when
	 * there are no places because their files cannot be used. A caller waits for a place only while places become free, so that the
	 * submissions of a burst do not wait one after the other.
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

	/** @param callable(array): array{bool, ?array} $how returns the answer and, if the state changes, the new state */
	private function change(callable $how): ?bool
	{
		if ($this->files->problem() !== '') {
			return null;
		}
		$file = $this->files->open('breaker');
		// Another process holds this lock only for microseconds.
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
