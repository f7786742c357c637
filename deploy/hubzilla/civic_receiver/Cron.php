<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

use stdClass;

/** A run of the cron hook: posts the submissions that wait, oldest first. On one spool only one run is at work at a time. */
final class Cron
{
	/** The most names that one run handles. If there are more, the others follow in later runs. */
	private const MOST_IN_A_RUN = 2000;

	/** @param callable(array): void|null $onOutcome */
	public function __construct(
		private Files $files,
		private Spool $spool,
		private Delivery $delivery,
		private string $url,
		private $onOutcome,
	) {
	}

	/** Returns the last answer after which a submission still waits; null when there was none. */
	public function run(int $seconds, bool $force): ?array
	{
		$only = $this->files->problem() === '' ? $this->files->open('lock-run') : null;
		if (! $only || ! $this->files->acquire($only, 0)) {
			return null;
		}
		$this->spool->sweep();
		return $this->postWaiting(time() + $seconds, $force);
	}

	private function postWaiting(int $stop, bool $force): ?array
	{
		$passed = [];
		$isReached = false;
		$tried = 0;
		$last = null;
		foreach ($this->latestOfEach() as $name) {
			if (time() >= $stop) {
				break;
			}
			$due = $this->spool->due($name);
			if ($due === false || isset($passed[Spool::associationOf($name)])) {
				continue;
			}
			if ($due > time() && ! $force && ! $this->isProbe($name, $tried === 0, $isReached)) {
				continue;
			}
			$answer = $this->repost($name);
			if ($answer === null) {
				continue;
			}
			$tried++;
			$isReached = $isReached || $answer['result'] !== 'not_reached' || ! Answer::isForAll($answer);
			if ($answer['result'] !== 'not_reached') {
				continue;
			}
			$last = $answer;
			if (Answer::isForAll($answer)) {
				break;
			}
			$passed[Spool::associationOf($name)] = true;
		}
		return $last;
	}

	/** Whether a file is posted before it is due. In each run one file finds out if the cause is over; then all others with this cause follow. */
	private function isProbe(string $name, bool $isFirst, bool $isReached): bool
	{
		$why = $this->spool->why($name);
		if ($why !== [] && ($why['url'] ?? '') !== Text::plain($this->url)) {
			return true; // it was posted to another URL
		}
		return Answer::isProbed($why['cause'] ?? '') && ($isFirst || $isReached);
	}

	/** The latest file of each address, the oldest of these first. If a run cannot post all, the others follow in later runs. */
	private function latestOfEach(): array
	{
		$latest = [];
		foreach ($this->spool->waiting() as $name) {
			$key = Spool::keyOf($name);
			if (strcmp($name, $latest[$key] ?? '') > 0) {
				$latest[$key] = $name;
			}
			if (count($latest) > 2 * self::MOST_IN_A_RUN) {
				asort($latest, SORT_STRING);
				$latest = array_slice($latest, 0, self::MOST_IN_A_RUN, true);
			}
		}
		sort($latest, SORT_STRING);
		return $latest;
	}

	/** Null when another process holds the address or has posted the file already. */
	private function repost(string $name): ?array
	{
		$lock = $this->spool->lockFile(Spool::keyOf($name));
		if (! $lock || ! $this->files->acquire($lock, 0)) {
			return null;
		}
		$body = $this->spool->body($name);
		if ($body === null) {
			return null;
		}
		$sent = self::envelopeIn($body);
		$answer = $this->delivery->deliver($name, true, $body, $sent, 'cron');
		$this->tell($answer, substr($name, 0, -5), $sent ?? []);
		return $answer;
	}

	/** Null when the body is no envelope; the receiver refuses such a body. */
	private static function envelopeIn(string $body): ?array
	{
		$envelope = json_decode($body);
		if ($envelope instanceof stdClass) {
			return Record::normalised($envelope);
		}
		// PHP objects cannot have a property whose name begins with NUL. Arrays can have such a key, but decoded to arrays {} and []
		// are alike. So only these three members are returned.
		$envelope = json_decode($body, true);
		return is_array($envelope) ? array_intersect_key($envelope, ['addon' => 0, 'association_slug' => 0, 'participant_id' => 0]) : null;
	}

	private function tell(array $answer, string $reference, array $envelope): void
	{
		if ($this->onOutcome === null || $answer['result'] === 'not_reached') {
			return;
		}
		$named = array_intersect_key($envelope, ['addon' => 0, 'association_slug' => 0, 'participant_id' => 0]);
		$more = array_intersect_key($answer, ['receipt' => 0, 'errors' => 0, 'detail' => 0, 'status' => 0]);
		($this->onOutcome)(['state' => $answer['result'], 'reference' => $reference, 'by' => 'cron', 'at' => gmdate(DATE_ATOM)] + $named + $more);
	}
}
