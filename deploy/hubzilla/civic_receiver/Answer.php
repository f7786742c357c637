<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * What became of one post. `result` is one of
 *	stored       on disk for good; 'receipt' is the receiver's answer
 *	refused      will never be stored as it is; 'errors' lists ['pointer' => …, 'detail' => …]
 *	not_reached  not stored yet; 'kept' true: the cron hook posts it again; 'kept' false: it is nowhere, say so
 * beside 'status' (HTTP, 0 for none), 'detail' (a sentence for the operator), 'kept', 'cause' and 'reference', by which
 * Client::outcome() tells later what became of it. Every text in it is printable and on one line.
 */
final class Answer
{
	/** The token is wrong here or there: nobody's submission can be stored. */
	public const TOKEN = 'token';
	/** No answer at all. */
	public const SILENT = 'not reached';
	public const PAUSED = 'paused';
	public const FULL = 'disk full';
	/** The receiver cannot store this association's records at the moment. */
	public const BUSY = 'busy';
	/** What answered is not the receiver: a wrong URL, or something in between. */
	public const FOREIGN = 'wrong URL or something in between';
	/** The post was not tried: a lock, a breaker or a newer submission came before it. */
	public const HELD = 'held back';

	public static function make(string $result, int $status, string $detail, string $cause = '', array $more = []): array
	{
		return ['result' => $result, 'status' => $status, 'detail' => trim($detail), 'kept' => false, 'cause' => $cause, 'reference' => ''] + $more;
	}

	public static function waiting(int $status, string $cause, string $detail): array
	{
		return self::make('not_reached', $status, $detail, $cause);
	}

	/** Whether what is wrong is wrong for every submission, so that a run need not try the others. */
	public static function isForAll(array $answer): bool
	{
		return ! in_array($answer['cause'], [self::BUSY, self::HELD], true);
	}

	/** Whether one post in each run finds out at no cost if the cause is over: then all that wait for it are posted at once. */
	public static function isProbed(string $cause): bool
	{
		return in_array($cause, [self::TOKEN, self::SILENT, self::PAUSED, self::FULL], true);
	}
}
