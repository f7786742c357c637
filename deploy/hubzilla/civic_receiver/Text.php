<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/** Makes text that others wrote fit for a log, a page and a terminal. */
final class Text
{
	/** The longest text, in characters. More are of no use to a person. */
	private const LONGEST = 500;

	/**
	 * The printable characters on one line. Line ends could forge a line of a log, escapes could control a terminal, and marks of
	 * direction could make a person read another text than the real one.
	 */
	public static function plain(mixed $text, int $longest = self::LONGEST): string
	{
		if (! is_string($text)) {
			return '';
		}
		// Cut the text before the patterns run, because it may have up to 256 KiB.
		$text = substr($text, 0, 4 * $longest);
		if (! preg_match('//u', $text)) {
			$text = (string) preg_replace('/[^\x20-\x7e]/', '?', $text);
		}
		$text = (string) preg_replace('/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u', '?', $text);
		return preg_match('/^.{' . $longest . '}(?=.)/us', $text, $found) ? $found[0] . '…' : $text;
	}

	/** Writes to Hubzilla's log, which is off by default. So what the operator must know is also said elsewhere. */
	public static function log(string $line): void
	{
		$line = 'civic_receiver: ' . self::plain($line, 2000);
		function_exists('logger') ? logger($line) : error_log($line);
	}
}
