<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * Keeps the receipts of all stored submissions, one a line, in receipts/<addon>-<association>.jsonl, in the form that the
 * auditor's `verify --receipts` takes. With the receipts nobody can later shorten or rewrite a records file unseen. The latest
 * receipt of an association is its head. Lines are only appended, under a lock, and synced.
 */
final class Receipts
{
	private const LONGEST_LINE = 8192;

	public function __construct(private Files $files)
	{
	}

	/** $by: "web" or "cron". False when the receipt could not be kept; the submission is stored nevertheless. */
	public function keep(array $receipt, string $reference, string $by): bool
	{
		$addon = self::word($receipt['addon'] ?? null);
		$slug = self::word($receipt['association_slug'] ?? null);
		if ($addon === '' || $slug === '' || $this->files->problem() !== '') {
			return false;
		}
		$members = ['addon', 'association_slug', 'sequence', 'record_sha256', 'id', 'received_at', 'outcome'];
		$kept = array_intersect_key($receipt, array_flip($members)) + ['reference' => $reference, 'stored_by' => $by, 'at' => gmdate(DATE_ATOM)];
		$line = json_encode($kept, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE) . "\n";
		$file = $this->files->open("receipts/$addon-$slug.jsonl");
		if (! $file || ! $this->files->acquire($file, 5)) {
			return false;
		}
		$size = fstat($file)['size'];
		fseek($file, 0, SEEK_END);
		if (@fwrite($file, $line) === strlen($line) && @fflush($file) && @fsync($file)) {
			return true;
		}
		ftruncate($file, $size); // a full disk must not leave a torn line
		$this->files->say("a receipt could not be kept in {$this->files->path}/receipts: is the disk full?");
		return false;
	}

	/** The heads, sorted, in the form of `audit heads`: the latest receipt of each association whose addon keeps every record. */
	public function heads(): array
	{
		$heads = [];
		foreach ($this->files->names('receipts') as $name) {
			$head = '';
			$highest = 0;
			foreach (str_ends_with($name, '.jsonl') ? $this->lines($name) : [] as $line) {
				$said = json_decode($line, true);
				$sequence = is_int($said['sequence'] ?? null) ? $said['sequence'] : 0;
				$hash = $said['record_sha256'] ?? null;
				if ($sequence >= $highest && $sequence > 0 && is_string($hash) && preg_match('/^[0-9a-f]{64}$/D', $hash)) {
					$highest = $sequence;
					$head = self::word($said['addon'] ?? null) . '/' . self::word($said['association_slug'] ?? null) . ":$sequence:$hash";
				}
			}
			if ($head !== '') {
				$heads[] = $head;
			}
		}
		sort($heads, SORT_STRING);
		return $heads;
	}

	/** The receipt of a submission; null when there is none. */
	public function of(string $reference): ?array
	{
		foreach ($this->files->names('receipts') as $name) {
			[$addon, $slug] = explode('-', substr($name, 0, -6), 2) + [1 => ''];
			$association = substr(hash('sha256', (string) json_encode([$addon, $slug])), 0, 8);
			foreach ($association === Spool::associationOf("$reference.json") ? $this->lines($name) : [] as $line) {
				$said = str_contains($line, $reference) ? json_decode($line, true) : null;
				if (is_array($said) && ($said['reference'] ?? null) === $reference) {
					return $said;
				}
			}
		}
		return null;
	}

	/** @return \Generator<string> */
	private function lines(string $name): \Generator
	{
		$file = $this->files->isOwn("receipts/$name") ? @fopen("{$this->files->path}/receipts/$name", 'r') : false;
		while ($file && ($line = fgets($file, self::LONGEST_LINE)) !== false) {
			yield $line;
		}
	}

	/** The text if it is fit for the name of a file, else empty. It is checked although the receiver has sent it. */
	private static function word(mixed $text): string
	{
		return is_string($text) && preg_match('/^[a-z0-9][a-z0-9_-]{0,127}$/D', $text) ? $text : '';
	}
}
