<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

use Zotlabs\Lib\Config;

/** Makes the client from Hubzilla's settings, and tells the operator of the Hubzilla when something is wrong. */
final class Hubzilla
{
	private const SETTINGS = 'civic_receiver';
	private const HOUR = 3600;
	private const DAY = 86400;

	/** All settings belong to the node: util/config civic_receiver KEY VALUE. */
	public static function client(): Client
	{
		$site = self::site();
		$get = fn(string $key, string $default): string => (string) (Config::Get(self::SETTINGS, $key) ?: $default);
		$client = new Client(
			$get('url', 'unix:/run/civic-orchestrator/http.sock'),
			$get('token_file', '/etc/civic-orchestrator/hubzilla_token'),
			$get('spool', "/var/spool/civic-orchestrator/$site"),
			$site,
		);
		return $client->onOutcome(function (array $outcome): void {
			call_hooks('civic_receiver_outcome', $outcome);
		});
	}

	/** The name of this site, fit for a path, because each of two sites on one host has a spool of its own. */
	public static function site(): string
	{
		$url = (string) Config::Get('system', 'baseurl');
		$at = parse_url($url !== '' ? $url : z_root());
		$name = strtolower(($at['host'] ?? 'hubzilla') . (isset($at['port']) ? "_$at[port]" : '') . rtrim($at['path'] ?? '', '/'));
		return trim((string) preg_replace('/[^a-z0-9._-]/', '_', $name), '.');
	}

	/** What the operator should know, one sentence each; empty when all is well. */
	public static function news(array $status): array
	{
		$news = $status['problem'] === '' ? [] : ["The spool: $status[problem]."];
		if ($status['oldest_seconds'] > self::HOUR) {
			$why = ($status['oldest']['detail'] ?? '') ?: 'They were not posted yet: does cron run?';
			$news[] = "$status[waiting] submissions wait to be put on record, the oldest for $status[oldest_seconds] s. $why";
		}
		if ($status['refused_count'] > 0) {
			$news[] = "$status[refused_count] submissions were refused and wait for you.";
		}
		return $news;
	}

	/**
	 * Sends a mail to the administrator while there is news, one a day for all addons together. Hubzilla's log is off by default, so
	 * people learn of it only by this mail and on the addon's admin page.
	 */
	public static function tellOperator(array $status): void
	{
		$news = self::news($status);
		$last = (int) Config::Get(self::SETTINGS, 'told_at');
		if ($news === [] || ($last > time() - self::DAY && $last <= time())) {
			return;
		}
		$to = (string) Config::Get('system', 'admin_email');
		$isSent = $to !== '' && z_mail([
			'fromName' => '',
			'fromEmail' => '',
			'replyTo' => '',
			'toEmail' => $to,
			'messageSubject' => '[' . self::site() . '] Submissions to civic-orchestrator need you',
			'textVersion' => implode("\n\n", $news) . "\n\nThe page of the addon under " . z_root() . "/admin/addons tells more.\n",
			'htmlVersion' => '',
			'additionalMailHeader' => '',
		]);
		if ($isSent) {
			Config::Set(self::SETTINGS, 'told_at', time());
		}
		Config::Set(self::SETTINGS, 'mail_failed', $isSent ? 0 : time());
	}

	/** Whether a mail could not be sent. Then nobody was told, and the admin page says so. */
	public static function mailFailed(): bool
	{
		return (int) Config::Get(self::SETTINGS, 'mail_failed') > 0;
	}
}
