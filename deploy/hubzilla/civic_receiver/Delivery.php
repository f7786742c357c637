<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/** Posts one envelope and changes the spool by the answer. The caller holds the lock of the address. */
final class Delivery
{
	private Post $post;
	private Receipts $receipts;
	public readonly Breaker $breaker;

	public function __construct(private Files $files, private Spool $spool, private string $url, string $tokenFile)
	{
		$this->post = new Post($url, $tokenFile);
		$this->receipts = new Receipts($files);
		$this->breaker = new Breaker($files);
	}

	/**
	 * $envelope: the content of the body, as far as it is known, to compare with the receipt. $inSpool: whether $name is a file of
	 * the spool. $by: "web" or "cron".
	 */
	public function deliver(string $name, bool $inSpool, string $body, ?array $envelope, string $by): array
	{
		$answer = $this->post->send($body, $envelope);
		$this->post->timedOut ? $this->breaker->timedOut() : $this->breaker->answered();
		return match ($answer['result']) {
			'stored' => $this->stored($name, $inSpool, $answer, $by),
			'refused' => $this->refused($name, $inSpool, $answer),
			default => $this->waits($name, $inSpool, $answer),
		};
	}

	private function stored(string $name, bool $inSpool, array $answer, string $by): array
	{
		$this->receipts->keep($answer['receipt'], substr($name, 0, -5), $by);
		array_map($this->spool->remove(...), $this->olderThan($name));
		if ($inSpool) {
			$this->spool->remove($name);
		}
		$this->spool->forgetRefused(Spool::keyOf($name));
		return $answer;
	}

	/** Older submissions of the address go on waiting, because they were not refused and nothing newer is stored. */
	private function refused(string $name, bool $inSpool, array $answer): array
	{
		$isMoved = $inSpool && $this->spool->refuse($name, $answer);
		if ($inSpool && ! $isMoved) {
			$this->spool->putOff($name, ['cause' => 'refused'] + $answer, $this->url);
		}
		$answer['kept'] = $inSpool;
		Text::log("the receiver refused a submission ($answer[status])" . ($isMoved ? "; see refused/$name.reasons in the spool" : ''));
		return $answer;
	}

	private function waits(string $name, bool $inSpool, array $answer): array
	{
		if ($inSpool) {
			$this->spool->putOff($name, $answer, $this->url);
			array_map($this->spool->remove(...), $this->olderThan($name));
			$all = $this->spool->ofAddress(Spool::keyOf($name));
			if ($all !== [] && end($all) !== $name) {
				$this->spool->remove($name); // a newer submission waits already
			}
		}
		$answer['kept'] = $inSpool;
		return $answer;
	}

	private function olderThan(string $name): array
	{
		return array_filter($this->spool->ofAddress(Spool::keyOf($name)), fn($other) => strcmp($other, $name) < 0);
	}
}
