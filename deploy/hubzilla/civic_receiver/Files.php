<?php

declare(strict_types=1);

namespace CivicReceiver\V2;

/**
 * Reads and writes files in the directory of the spool, and checks each one first. The directory must belong to the user that
 * runs this code, must be closed to others, and must lie outside the web root. Directories and files in it must be directories
 * and regular files of this user. Anything else is neither opened nor followed, because a FIFO would block the process for ever,
 * and a link would make the client post a file of somebody else. It becomes a problem in words, with the command that repairs it.
 */
final class Files
{
	private const DIRECTORY = 0040000;
	private const REGULAR = 0100000;
	private const MOST_PROBLEMS = 20;

	/** @var array<string, true> */
	private array $problems = [];
	private ?string $unusable = null;
	/** @var array<string, true> directories of the spool that do not belong to this user, and are not entered */
	private array $closed = [];

	public function __construct(public readonly string $path)
	{
	}

	/** Why the spool cannot be used at all; empty when it can. */
	public function problem(): string
	{
		return $this->unusable ??= $this->judge();
	}

	/** The problems that were found since the last call of forget(), after the reason why the spool cannot be used. */
	public function problems(): array
	{
		$all = array_keys($this->problems);
		return $this->problem() === '' ? $all : [$this->problem(), ...$all];
	}

	public function forget(): void
	{
		clearstatcache();
		$this->unusable = null;
		$this->problems = [];
		$this->closed = [];
	}

	public function say(string $problem): void
	{
		if (count($this->problems) < self::MOST_PROBLEMS) {
			$this->problems[$problem] = true;
		}
	}

	private function judge(): string
	{
		if ($this->path === '' || $this->path[0] !== '/') {
			return 'the path of the spool is not absolute';
		}
		$named = self::shell($this->path);
		if (! is_dir($this->path)) {
			if (self::user() === 0) {
				return "there is no $this->path, and root does not make it, because Hubzilla's user could not use it then. Run: install -d -m 0700 -o HUBZILLAS_USER -g HUBZILLAS_GROUP $named";
			}
			if (! @mkdir($this->path, 0700, true)) {
				return "$this->path is not there and cannot be made. Run as root: install -d -m 0700 -o " . self::userName() . ' -g ' . self::userName() . " $named";
			}
		}
		$owner = (int) @fileowner($this->path);
		if ($owner !== self::user()) {
			return "$this->path belongs to " . self::nameOf($owner) . ' and this runs as ' . self::userName()
				. ': only its owner works in it. Run Hubzilla\'s cron as the user of the web server; or, if the owner is wrong, run as root: ' . $this->mending();
		}
		$real = realpath($this->path) . '/';
		foreach ([$_SERVER['DOCUMENT_ROOT'] ?? '', function_exists('appdirpath') ? appdirpath() : ''] as $web) {
			$web = $web === '' ? false : realpath($web);
			if ($web !== false && str_starts_with($real, rtrim($web, '/') . '/')) {
				return "$this->path is inside the web root";
			}
		}
		if (((int) fileperms($this->path) & 0077) !== 0 && ! @chmod($this->path, 0700)) {
			return "$this->path can be read by others. Run as root: chmod 0700 $named";
		}
		foreach (['refused', 'receipts', 'forms'] as $below) {
			@mkdir("$this->path/$below", 0700);
			if (! $this->is("$this->path/$below", self::DIRECTORY)) { // the rest of the spool can be used nevertheless
				$this->closed[$below] = true;
				$this->say("$this->path/$below is not a directory of " . self::userName() . '. Run as root: ' . $this->mending());
			}
		}
		return '';
	}

	private function mending(): string
	{
		$owner = self::user() === 0 ? 'HUBZILLAS_USER' : self::userName();
		return "chown -R $owner: " . self::shell($this->path);
	}

	/** Whether the directory of a name may be entered. A link in its place would lead elsewhere. */
	public function mayEnter(string $name): bool
	{
		return $this->problem() === '' && ! isset($this->closed[explode('/', $name)[0]]);
	}

	/** Whether a name is a regular file of this user. If it is something else, that is noted as a problem. */
	public function isOwn(string $name): bool
	{
		if (! $this->mayEnter($name)) {
			return false;
		}
		if ($this->is("$this->path/$name", self::REGULAR)) {
			return true;
		}
		if (@lstat("$this->path/$name")) {
			$this->say(Text::plain("$this->path/$name") . ' is not a regular file of ' . self::userName()
				. ' and is left alone. If it is only the owner that is wrong, run as root: ' . $this->mending() . '. Else look at it and remove it.');
		}
		return false;
	}

	private function is(string $path, int $kind): bool
	{
		$found = @lstat($path);
		return $found && ($found['mode'] & 0170000) === $kind && $found['uid'] === self::user();
	}

	/**
	 * Opens a file to lock, and makes it if it does not exist. Null, with a problem noted, when it cannot be opened.
	 *
	 * @return resource|null
	 */
	public function open(string $name)
	{
		if (! $this->mayEnter($name) || (@lstat("$this->path/$name") && ! $this->isOwn($name))) {
			return null;
		}
		$file = @fopen("$this->path/$name", 'c+');
		if (! $file) {
			$this->say("$this->path/$name cannot be opened. Is the disk full? If not, run as root: " . $this->mending());
		}
		return $file ?: null;
	}

	/** @param resource $file the lock is released when this file is closed: when the caller's function or the process ends */
	public function acquire($file, float $seconds): bool
	{
		for ($end = microtime(true) + $seconds; ! flock($file, LOCK_EX | LOCK_NB, $isHeld); usleep(20000)) {
			if (! $isHeld) {
				$this->say("files in $this->path cannot be locked: is it on a network file system without a lock service? Give it a directory on a local disk: util/config civic_receiver spool PATH");
				return false;
			}
			if (microtime(true) >= $end) {
				return false;
			}
		}
		return true;
	}

	/** Writes a whole file: a temporary file in the spool, fsync, rename, fsync of the directory. True when the file is in place. */
	public function write(string $name, string $text, int $modified = 0): bool
	{
		if (! $this->mayEnter($name)) {
			return false;
		}
		$new = "$this->path/.new-" . bin2hex(random_bytes(8));
		$file = @fopen($new, 'x');
		$isWhole = $file && chmod($new, 0600) && @fwrite($file, $text) === strlen($text) && @fflush($file) && @fsync($file);
		$isThere = $isWhole && ($modified === 0 || touch($new, $modified)) && @rename($new, "$this->path/$name");
		if ($file) {
			fclose($file);
		}
		if (! $isThere) {
			@unlink($new);
		}
		if ($isThere && ($directory = @fopen(dirname("$this->path/$name"), 'r'))) {
			@fsync($directory); // without this the rename may be lost in a power cut
		}
		return $isThere;
	}

	/** Null when the name is not a regular file of this user, or is gone. */
	public function read(string $name, int $longest): ?string
	{
		$text = $this->isOwn($name) ? @file_get_contents("$this->path/$name", false, null, 0, $longest) : false;
		return $text === false ? null : $text;
	}

	/**
	 * Yields one name after the other, in no order, so that a large directory takes no memory. glob() would find nothing below a
	 * path like Hubzilla's store/[data].
	 *
	 * @return \Generator<string>
	 */
	public function names(string $below = ''): \Generator
	{
		$directory = $this->mayEnter($below) ? @opendir("$this->path/$below") : false;
		while ($directory && ($name = readdir($directory)) !== false) {
			if ($name !== '.' && $name !== '..') {
				yield $name;
			}
		}
	}

	private static function user(): int
	{
		static $user;
		if ($user === null && function_exists('posix_geteuid')) {
			$user = posix_geteuid();
		}
		if ($user === null) { // without the posix extension, the owner of a new file tells the user
			$file = tmpfile();
			$user = $file ? (int) (fstat($file)['uid'] ?? -1) : -1;
		}
		return $user;
	}

	private static function userName(): string
	{
		return self::nameOf(self::user());
	}

	private static function nameOf(int $user): string
	{
		return (function_exists('posix_getpwuid') ? posix_getpwuid($user)['name'] ?? null : null) ?? "user $user";
	}

	private static function shell(string $path): string
	{
		return preg_match('#^[A-Za-z0-9/._-]+$#D', $path) ? $path : escapeshellarg($path);
	}
}
