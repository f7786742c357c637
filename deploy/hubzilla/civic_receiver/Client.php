<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

use JsonException;
use stdClass;

/**
 * Posts envelopes and loses none. A submission is written to the spool before it is posted and removed after the answer, so it
 * stays in the spool if the process is killed at any instant. Posting twice is safe. Where every envelope is kept, the receiver
 * recognises one by its content. Where only the latest is kept, it replaces itself. The answers are described in Answer.php, the
 * invariants of the spool in Spool.php.
 */
final class Client
{
	/** How many seconds submit() waits while an older submission of the same address is posted. */
	private const LOCK_WAIT = 10;

	private Files $files;
	private Spool $spool;
	private Delivery $delivery;
	/** @var callable(array): void|null called when a submission from the spool was stored or refused */
	private $onOutcome = null;

	/** $site: the site of these submissions. Submissions of another site in the same spool are never posted. */
	public function __construct(private string $url, private string $tokenFile, string $spool, string $site = '')
	{
		$this->files = new Files(rtrim($spool, '/'));
		$this->spool = new Spool($this->files, $site);
		$this->delivery = new Delivery($this->files, $this->spool, $url, $tokenFile);
	}

	/** $how is called with state, reference, by, addon, association_slug, participant_id and receipt or errors. */
	public function onOutcome(callable $how): self
	{
		$this->onOutcome = $how;
		return $this;
	}

	/**
	 * Adds the members that every envelope has. The result is the envelope as it will be stored, as far as the client knows the
	 * rules, so digest() accepts it too. Without a contract_version the envelope is of the first version of the contract.
	 */
	public static function envelope(string $addon, array $members): array
	{
		$named = ['addon' => $addon, 'contract_version' => $members['contract_version'] ?? Record::firstVersion($addon)];
		return Record::normalised($named + $members + ['submitted_at' => gmdate(DATE_ATOM)]);
	}

	/**
	 * The envelope of a form that was sent. A reload or a double click of the same form with the same answers gets the envelope that
	 * was built first, so that there is one record. Other answers get another envelope. $nonce is made with the form, for its
	 * session. Only `submitted_at` is kept, for two days, under a hash of the nonce and the answers.
	 */
	public function envelopeOnce(string $nonce, string $addon, array $members): array
	{
		$envelope = self::envelope($addon, $members);
		try {
			$content = Record::json(array_diff_key($envelope, ['submitted_at' => 0]));
		} catch (JsonException) {
			return $envelope; // submit() says what cannot be printed
		}
		$form = 'forms/' . hash('sha256', "$nonce\n$content");
		$file = isset($members['submitted_at']) || $this->files->problem() !== '' ? null : $this->files->open($form);
		if ($file && $this->files->acquire($file, 2)) {
			$first = (string) stream_get_contents($file, 64, 0);
			if (preg_match('/^[0-9T:+-]{25}$/D', $first)) {
				$envelope['submitted_at'] = $first;
			} else {
				fwrite($file, $envelope['submitted_at']);
			}
		}
		return $envelope;
	}

	/** See Record::digest(). */
	public static function digest(array|stdClass $record): ?string
	{
		return Record::digest($record);
	}

	public function submit(array|stdClass $envelope): array
	{
		$this->files->forget();
		$envelope = Record::normalised($envelope);
		try {
			$body = Record::json($envelope);
		} catch (JsonException $e) {
			return Answer::make('refused', 0, 'Not sent: ' . $e->getMessage(), '', ['errors' => Record::unprintable($envelope)]);
		}
		$key = $this->spool->key($envelope, $body);
		// The lock file is made before the first file of its address. So if it cannot be opened, no older file can undo this post.
		$lock = $this->files->problem() === '' ? $this->spool->lockFile($key) : null;
		$older = $this->spool->ofAddress($key);
		// After the clock was set back, this file must still sort after the older ones.
		$after = $older ? Spool::time(end($older)) + 1 : 0;
		$name = sprintf('%016d.%s.json', max($after, (int) (microtime(true) * 1e6)), $key);
		$isKept = $lock && $this->spool->keep($name, $body);
		$answer = match (true) {
			// If this submission were stored now, the older one would replace it when the spool can be used again.
			! $lock && ($older || $this->mayHaveOlder($key)) => Answer::waiting(0, Answer::HELD, 'An older submission of this address waits in a spool that cannot be used.'),
			$isKept && $this->delivery->breaker->isOpen() => Answer::waiting(0, Answer::SILENT, 'The receiver did not answer in time, twice in a row, so it was not asked again for 30 s.'),
			$isKept && ! ($place = $this->delivery->breaker->place()) => Answer::waiting(0, Answer::SILENT, 'Two submissions wait for its answer already, so the receiver was not asked.'),
			$lock && ! $this->files->acquire($lock, self::LOCK_WAIT) => Answer::waiting(0, Answer::HELD, 'An earlier submission of this address is still being posted.'),
			$isKept && ! $this->spool->has($name) => Answer::waiting(0, Answer::HELD, 'A newer submission of this address has taken its place.'),
			default => null,
		};
		if ($answer === null) {
			$answer = $this->delivery->deliver($name, $isKept, $body, $envelope, 'web');
		} else {
			$answer['kept'] = $isKept;
			if ($isKept && $answer['cause'] === Answer::SILENT) {
				$this->spool->putOff($name, $answer, $this->url);
			}
		}
		$answer['reference'] = substr($name, 0, -5);
		if ($answer['result'] === 'not_reached' && ! $answer['kept']) {
			$problems = implode('; ', $this->files->problems());
			Text::log("a submission is neither stored nor kept. $answer[detail] The spool: " . ($problems === '' ? 'is the disk full?' : $problems));
		}
		return $answer;
	}

	/** For the cron hook: posts the submissions that wait, oldest first, and returns the state of the spool. $force posts all of them now. */
	public function run(int $seconds = 60, bool $force = false): array
	{
		$this->files->forget();
		$cron = new Cron($this->files, $this->spool, $this->delivery, $this->url, $this->onOutcome);
		$last = $cron->run($seconds, $force);
		clearstatcache();
		$status = (new Standing($this->files, $this->spool))->now();
		if ($status['problem'] !== '') {
			Text::log('the spool: ' . $status['problem']);
		}
		if ($status['waiting'] > 0) {
			Text::log("$status[waiting] submissions wait, the oldest for $status[oldest_seconds] s. " . ($last['detail'] ?? ''));
		}
		return $status;
	}

	/** See Standing.php. */
	public function status(): array
	{
		$this->files->forget();
		return (new Standing($this->files, $this->spool))->now();
	}

	/** Whether a spool that cannot be used may still hold an older submission, as far as its directory can be read. */
	private function mayHaveOlder(string $key): bool
	{
		if (! Spool::isLatestOnly($key)) {
			return false;
		}
		$directory = @opendir($this->files->path === '' ? '/nonexistent' : $this->files->path);
		while ($directory && ($name = readdir($directory)) !== false) {
			if (str_ends_with($name, ".$key.json")) {
				return true;
			}
		}
		return false;
	}

	/**
	 * What became of a submission, by the `reference` of its answer: state stored (at, by, receipt), refused (detail, errors),
	 * waiting (cause, detail) or gone (a newer submission of its address was stored, or it was removed by hand).
	 */
	public function outcome(string $reference): array
	{
		$this->files->forget();
		$name = preg_match('/^[0-9a-f.-]{17,80}$/D', $reference) ? "$reference.json" : 'none';
		if ($this->spool->has($name)) {
			return ['state' => 'waiting'] + $this->spool->why($name);
		}
		if ($this->spool->has("refused/$name")) {
			return ['state' => 'refused'] + $this->spool->reasons($name);
		}
		$receipt = (new Receipts($this->files))->of($reference);
		return $receipt === null ? ['state' => 'gone'] : ['state' => 'stored', 'at' => $receipt['at'], 'by' => $receipt['stored_by'], 'receipt' => $receipt];
	}

	/**
	 * Whether the receiver answers and accepts the token, and a sentence that says so. The posted envelope is always refused, so
	 * nothing is stored.
	 */
	public function check(): array
	{
		$answer = (new Post($this->url, $this->tokenFile))->send('{"addon":"check"}', null);
		return match ($answer['result']) {
			'refused' => [true, 'The receiver answers, and it accepts the token. Nothing was stored.'],
			'stored' => [false, "What answers is not the receiver: it says that a post was stored which cannot be. Check the URL."],
			default => [false, $answer['detail']],
		};
	}

	/** One line for each association, sorted, in the form that `audit heads` prints and `audit verify --heads` takes. */
	public function heads(): array
	{
		$this->files->forget();
		return (new Receipts($this->files))->heads();
	}
}
