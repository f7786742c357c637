<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * What became of one post. `result` is one of
 *	stored       the record is on disk for good; 'receipt' is the receiver's answer
 *	refused      the envelope will never be stored as it is; 'errors' lists ['pointer' => …, 'detail' => …]
 *	not_reached  the envelope is not stored yet. 'kept' true: the cron hook posts it again. 'kept' false: it is kept nowhere, so
 *	             tell the participant
 * The other members are 'status' (HTTP, 0 for none), 'detail' (a sentence for the operator), 'kept', 'cause' and 'reference'. By
 * the reference Client::outcome() tells later what became of the submission. Every text is printable and on one line.
 */
final class Answer
{
	/** The token is wrong, here or in the receiver, so no submission can be stored. */
	public const TOKEN = 'token';
	/** No answer came at all. */
	public const SILENT = 'not reached';
	public const PAUSED = 'paused';
	public const FULL = 'disk full';
	/** The receiver cannot store this association's records at the moment. */
	public const BUSY = 'busy';
	/** The answer is not from the receiver: the URL is wrong, or something is in between. */
	public const FOREIGN = 'wrong URL or something in between';
	/** The submission was not posted, because of a lock, the breaker or a newer submission. */
	public const HELD = 'held back';

	public static function make(string $result, int $status, string $detail, string $cause = '', array $more = []): array
	{
		return ['result' => $result, 'status' => $status, 'detail' => trim($detail), 'kept' => false, 'cause' => $cause, 'reference' => ''] + $more;
	}

	public static function waiting(int $status, string $cause, string $detail): array
	{
		return self::make('not_reached', $status, $detail, $cause);
	}

	/** Whether the cause holds for every submission, so that a run need not try the others. */
	public static function isForAll(array $answer): bool
	{
		return ! in_array($answer['cause'], [self::BUSY, self::HELD], true);
	}

	/** Whether each run may post one submission to find out that the cause is over. Then all others with this cause follow at once. */
	public static function isProbed(string $cause): bool
	{
		return in_array($cause, [self::TOKEN, self::SILENT, self::PAUSED, self::FULL], true);
	}
}
