<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/** The state of the spool, for the operator's page and for monitoring. It takes little memory, however large the spool is. */
final class Standing
{
	private const MOST_ON_A_PAGE = 50;

	public function __construct(private Files $files, private Spool $spool)
	{
	}

	/**
	 * For the operator's page and monitoring. `refused` and `waits` hold the newest fifty submissions, with reasons and causes; the
	 * counts cover all. Raise an alert on a problem, on oldest_seconds over an hour, and on refused_count.
	 */
	public function now(): array
	{
		[$count, $bytes, $oldest, $future] = [0, 0, '', 0];
		$newest = new Newest(self::MOST_ON_A_PAGE);
		foreach ($this->spool->waiting() as $name) {
			$count++;
			$bytes += (int) @filesize("{$this->files->path}/$name");
			$oldest = $oldest === '' || strcmp($name, $oldest) < 0 ? $name : $oldest;
			$future += Spool::time($name) > (time() + 60) * 1000000 ? 1 : 0;
			$newest->add($name);
		}
		$waits = [];
		foreach ($newest->names() as $name) {
			$since = gmdate(DATE_ATOM, intdiv(Spool::time($name), 1000000));
			$waits[] = ['reference' => substr($name, 0, -5), 'since' => $since] + $this->spool->why($name) + ['cause' => '', 'detail' => 'not posted yet'];
		}
		[$refusedCount, $refused] = $this->refused();
		$this->spool->checkLocks();
		if ($future > 0) {
			$this->files->say("$future submissions are dated in the future, because the clock was set back: their age cannot be told. Post all now (README.md, \"The spool\")");
		}
		return [
			'waiting' => $count,
			'oldest_seconds' => $count > 0 ? max(0, time() - intdiv(Spool::time($oldest), 1000000)) : 0,
			'bytes' => $bytes,
			'waits' => $waits,
			'oldest' => $count > 0 ? $this->spool->why($oldest) : [],
			'refused' => $refused,
			'refused_count' => $refusedCount,
			'problem' => implode("; ", $this->files->problems()),
		];
	}

	/** @return array{int, array<string, array>} */
	private function refused(): array
	{
		$count = 0;
		$newest = new Newest(self::MOST_ON_A_PAGE);
		foreach ($this->files->names('refused') as $name) {
			if (preg_match('/^[0-9]{16}\.[0-9a-f-]+[ac]?[0-9a-f]+\.json$/D', $name)) {
				$count++;
				$newest->add($name);
			}
		}
		$refused = [];
		foreach ($newest->names() as $name) {
			$refused[$name] = $this->spool->reasons($name);
		}
		return [$count, $refused];
	}
}
