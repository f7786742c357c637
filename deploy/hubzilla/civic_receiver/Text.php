<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/** What others wrote, made fit for a log, a page and a terminal. */
final class Text
{
	/** More characters of one text than this are of no use to a person. */
	private const LONGEST = 500;

	/**
	 * Printable characters on one line. Line ends would forge a line of a log, escapes would reach a terminal, and marks of
	 * direction would make a person read another text than the one that is there.
	 */
	public static function plain(mixed $text, int $longest = self::LONGEST): string
	{
		if (! is_string($text)) {
			return '';
		}
		// cut before the patterns run: what is read is bounded, but it may be 256 KiB
		$text = substr($text, 0, 4 * $longest);
		if (! preg_match('//u', $text)) {
			$text = (string) preg_replace('/[^\x20-\x7e]/', '?', $text);
		}
		$text = (string) preg_replace('/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u', '?', $text);
		return preg_match('/^.{' . $longest . '}(?=.)/us', $text, $found) ? $found[0] . '…' : $text;
	}

	/** Where the operator reads it without any setting: the log of Hubzilla is off by default, so this is never the only place. */
	public static function log(string $line): void
	{
		$line = 'civic_receiver: ' . self::plain($line, 2000);
		function_exists('logger') ? logger($line) : error_log($line);
	}
}
