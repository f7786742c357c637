<?php

declare(strict_types=1);

/**
 * Hands submissions of Hubzilla addons to civic-orchestrator and loses none. One file, PHP 8.1 to 8.4, curl.
 *
 *     $civic = CivicReceiver::fromHubzilla();
 *     $answer = $civic->submit(CivicReceiver::envelope('vs01', [
 *         'association_slug' => …, 'association_channel_id' => …, 'participant_id' => …, 'standing' => …,
 *         'fields' => …,                        // all of them, each time: the latest envelope is the record
 *     ]));
 *
 * $answer['result'] is one of
 *   stored       on disk for good; 'receipt' is the receiver's answer
 *   refused      will never be stored as it is; 'errors' lists ['pointer' => …, 'detail' => …]
 *   not_reached  not stored yet; 'kept' true: the cron hook posts it again; 'kept' false: it is nowhere, say so
 * beside 'status' (HTTP, 0 for none), 'detail' (a sentence for the operator) and 'kept'.
 *
 * A submission is written to the spool before it is posted and removed after the answer, so a process killed at any
 * instant leaves it there. Posting twice is safe: the receiver knows an scn01 envelope by its content, and a vs01 or
 * dsc01 envelope replaces itself. Invariants of the spool:
 *   1. One file is one envelope, the bytes that are posted; a name under which it is found is a whole file.
 *   2. Of one address (addon, association, Placekey; vs01 and dsc01) one envelope is posted at a time, under a lock,
 *      and none after a newer one was stored: the files of an address are removed oldest first, the stored one last.
 *   3. At rest an address has one waiting file, its latest.
 * Not promised: order between two submissions of one address that overlap in time.
 */
if (!class_exists('CivicReceiver', false)) { // several addons may carry a copy

final class CivicReceiver
{
    /** Seconds. The receiver answers within 10; Hubzilla's own default of 60 outlives PHP and web server limits. */
    private const TIMEOUT = 15;
    /** Seconds that cron leaves a new file to the process that wrote it: longer than its lock wait and its post. */
    private const GRACE = 60;
    private const LOCK_WAIT = 10;
    private const FLAGS = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE
        | JSON_PRESERVE_ZERO_FRACTION;

    /** The token is read from its file for each post, so that a rotation needs no restart; it is never a parameter. */
    public function __construct(private string $url, private string $tokenFile, private string $spool)
    {
        $this->spool = rtrim($spool, '/');
    }

    public static function fromHubzilla(): self
    {
        $get = static fn(string $key, string $default): string => (string) (get_config('civic_receiver', $key) ?: $default);
        return new self(
            $get('url', 'http://127.0.0.1:8787/receive'),
            $get('token_file', '/etc/civic-orchestrator/hubzilla_token'),
            $get('spool', '/var/spool/civic-orchestrator'),
        );
    }

    /** Adds what every envelope has. What is returned is what is stored, as far as it is known here: digest() takes it too. */
    public static function envelope(string $addon, array $members): array
    {
        return self::normalised(['addon' => $addon, 'contract_version' => '1.0'] + $members + ['submitted_at' => gmdate(DATE_ATOM)]);
    }

    public function submit(array|stdClass $envelope): array
    {
        $envelope = self::normalised($envelope);
        try {
            $body = json_encode($envelope, self::FLAGS);
        } catch (JsonException $e) {
            return self::answer('refused', 0, 'Not sent: ' . $e->getMessage(), false, ['errors' => self::unprintable($envelope)]);
        }
        $key = self::key($envelope, $body);
        // The lock file comes before the first file of its address: if it cannot be opened, there is no older one to undo this.
        $lock = $this->spoolProblem() === '' ? @fopen("$this->spool/lock-" . substr($key, -2), 'c') : false;
        $waiting = $this->waiting($key);
        // A clock that was set back must not make this one the older one.
        $after = $waiting ? self::time(end($waiting)) + 1 : 0;
        $name = sprintf('%016d.%s.json', max($after, (int) (microtime(true) * 1e6)), $key);
        $kept = $lock && $this->keep($name, $body);
        clearstatcache();
        if (!$lock && $waiting) {
            // Stored now, this one would be undone by the older one once the spool can be used again.
            $answer = self::answer('not_reached', 0, 'An older submission of this address waits in a spool that cannot be used.', false);
        } elseif ($lock && !self::acquire($lock, self::LOCK_WAIT)) {
            $answer = self::answer('not_reached', 0, 'An earlier submission of this address is still being posted.', $kept);
        } elseif ($kept && !is_file("$this->spool/$name")) {
            $answer = self::answer('not_reached', 0, 'A newer submission of this address has taken its place.', true);
        } else {
            $answer = $this->settle($name, $kept, $this->post($body));
        }
        if ($answer['result'] === 'not_reached' && !$answer['kept']) {
            self::log("a submission is neither stored nor kept. $answer[detail] The spool: " . ($this->spoolProblem() ?: 'disk full?'));
        }
        return $answer;
    }

    /** For the cron hook: posts what waits, oldest first, and says how the spool stands. $force ignores the backoff. */
    public function run(int $seconds = 60, bool $force = false): array
    {
        $stop = time() + $seconds;
        $only = $this->spoolProblem() === '' ? @fopen("$this->spool/lock-run", 'c') : false;
        if ($only && self::acquire($only, 0)) {
            foreach ($this->files('/^\.new-/') as $torn) { // its writer was killed before it had a name
                if (@filemtime("$this->spool/$torn") < time() - 3600) @unlink("$this->spool/$torn");
            }
            $latest = [];
            foreach ($this->waiting() as $name) $latest[substr($name, 17)] = $name;
            sort($latest, SORT_STRING);
            $passed = [];
            foreach ($latest as $name) {
                clearstatcache();
                $association = substr($name, 17, 8);
                $due = @filemtime("$this->spool/$name");
                if (time() >= $stop) break;
                // Nothing is put off by more than an hour: a later time is that of a clock since set back.
                $early = $due > time() && $due <= time() + 3600 && !$force;
                if ($early || $due === false || isset($passed[$association])) continue;
                $answer = $this->repost($name);
                if ($answer === null || $answer['result'] !== 'not_reached') continue;
                // One association may be out of service alone; no answer at all, or a wrong token or URL, is everybody's.
                if (!self::passing($answer['status'])) break;
                $passed[$association] = true;
            }
        }
        $status = $this->status();
        if ($status['problem'] !== '') self::log('the spool cannot be used: ' . $status['problem']);
        if ($status['waiting'] > 0) {
            $why = isset($answer) && $answer['result'] === 'not_reached' ? ' ' . $answer['detail'] : '';
            self::log("$status[waiting] submissions wait, the oldest for $status[oldest_seconds] s.$why");
        }
        return $status;
    }

    /** For the operator's page and monitoring. Refusals lie in refused/, each beside a file with its reasons. */
    public function status(): array
    {
        clearstatcache();
        $problem = $this->spoolProblem();
        $waiting = $problem === '' ? $this->waiting() : [];
        $refused = [];
        foreach ($problem === '' ? $this->files('/\.json$/D', 'refused') : [] as $name) {
            $refused[$name] = json_decode((string) @file_get_contents("$this->spool/refused/$name.reasons"), true);
        }
        return [
            'waiting' => count($waiting),
            'oldest_seconds' => $waiting ? max(0, time() - intdiv(self::time($waiting[0]), 1000000)) : 0,
            'bytes' => array_sum(array_map(fn($name) => (int) @filesize("$this->spool/$name"), $waiting)),
            'refused' => $refused,
            'problem' => $problem,
        ];
    }

    private function post(string $body): array
    {
        [$status, $text, $error] = $this->send($body);
        $said = json_decode($text, true);
        $said = is_array($said) ? $said : [];
        $detail = trim(implode(': ', array_filter([$said['title'] ?? '', $said['detail'] ?? ''], 'is_string')), ': ');
        // A 2xx of anything else than the receiver (a wrong URL, a proxy's page) is no receipt.
        if ($status >= 200 && $status < 300 && ($said['status'] ?? null) === 'stored') {
            return self::answer('stored', $status, '', false, ['receipt' => $said]);
        }
        if (in_array($status, [400, 413, 415, 422], true)) {
            return self::answer('refused', $status, $detail, false, ['errors' => $said['errors'] ?? []]);
        }
        return self::answer('not_reached', $status, match (true) {
            $status === 0 => "No answer from the receiver. $error",
            $status === 401 => 'The receiver does not accept the node token. Compare the token file with its NODE_TOKEN.',
            self::passing($status) => "The receiver cannot store now ($status). $detail",
            default => "The answer ($status) is not the receiver's. Check the URL.",
        }, false);
    }

    /** @return array{int, string, string} status (0: none), body, what went wrong */
    private function send(string $body): array
    {
        $token = trim((string) @file_get_contents($this->tokenFile));
        if ($token === '' || preg_match('/\s/', $token)) return [0, '', 'The token file is missing, unreadable, empty or more than one word.'];
        // A list of lines: of an associative array curl sees the values only and drops them without a word.
        $headers = ['Content-Type: application/json', "X-Node-Token: $token"];
        if (self::hubzillaPosts()) {
            // 8 is the last count at which it follows no redirect: the token goes to the configured URL only.
            $got = z_post_url($this->url, $body, 8, ['headers' => $headers, 'timeout' => self::TIMEOUT]);
            return [(int) ($got['return_code'] ?? 0), (string) ($got['body'] ?? ''), (string) ($got['error'] ?? '')];
        }
        $curl = curl_init($this->url);
        curl_setopt_array($curl, [
            CURLOPT_POSTFIELDS => $body,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_TIMEOUT => self::TIMEOUT,
            CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_PROXY => '', // none, whatever http_proxy says
        ]);
        $text = curl_exec($curl);
        // An answer that broke off is none, though its status is known.
        return is_string($text) ? [(int) curl_getinfo($curl, CURLINFO_RESPONSE_CODE), $text, ''] : [0, '', curl_error($curl)];
    }

    /** Statuses that say "not now", as against a wrong token or URL. */
    private static function passing(int $status): bool
    {
        return $status >= 500 || $status === 408 || $status === 429;
    }

    /**
     * z_post_url writes the request headers of a failed post, hence the token, to Hubzilla's log when that runs at its
     * DATA level (3), and sends everything through system.proxy when that is set. In both cases plain curl posts.
     */
    private static function hubzillaPosts(): bool
    {
        return function_exists('z_post_url') && !get_config('system', 'proxy')
            && !(get_config('system', 'debugging') && (int) get_config('system', 'loglevel') >= 3);
    }

    // ---- the spool: <spool>/<microseconds, 16 digits>.<association, 8 hex>-<address or content, 32 hex>.json

    /** Whether the body is in the spool, whole and synced: a temporary file in the same directory, fsync, rename. */
    private function keep(string $name, string $body): bool
    {
        $new = "$this->spool/.new-" . bin2hex(random_bytes(8));
        $file = @fopen($new, 'x');
        $whole = $file && chmod($new, 0600) && @fwrite($file, $body) === strlen($body) && @fflush($file) && @fsync($file);
        $kept = $whole && touch($new, time() + self::GRACE) && @rename($new, "$this->spool/$name");
        if ($file) fclose($file);
        if (!$kept) @unlink($new);
        if ($kept && ($directory = @fopen($this->spool, 'r'))) @fsync($directory); // makes the rename last
        return $kept;
    }

    /** Null when another process holds the address or has done the work. */
    private function repost(string $name): ?array
    {
        $lock = @fopen("$this->spool/lock-" . substr($name, -7, 2), 'c');
        if (!$lock || !self::acquire($lock, 0)) return null;
        $body = @file_get_contents("$this->spool/$name");
        return $body === false ? null : $this->settle($name, true, $this->post($body));
    }

    /** After the answer, the lock still held. $inSpool: whether $name is a file there. */
    private function settle(string $name, bool $inSpool, array $answer): array
    {
        $all = $this->waiting(substr($name, 17, -5));
        $older = array_filter($all, fn($other) => strcmp($other, $name) < 0);
        if ($answer['result'] === 'stored') {
            foreach ($older as $other) @unlink("$this->spool/$other");
            if ($inSpool) @unlink("$this->spool/$name");
            foreach ($this->files('/\.' . substr($name, 17, -5) . '\.json/', 'refused') as $other) @unlink("$this->spool/refused/$other");
            return $answer;
        }
        if ($answer['result'] === 'refused') {
            // An older one that waits stays: it was not refused, and nothing newer is stored.
            if ($inSpool) {
                $reasons = ['refused_at' => gmdate(DATE_ATOM)] + array_diff_key($answer, ['kept' => 0]);
                $this->keep("refused/$name.reasons", (string) json_encode($reasons, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES));
                $answer['kept'] = @rename("$this->spool/$name", "$this->spool/refused/$name");
            }
            self::log("the receiver refused a submission ($answer[status])" . ($inSpool ? "; see refused/$name.reasons in the spool" : ''));
            return $answer;
        }
        if ($inSpool) {
            // It waits as long again as it has waited, at most an hour; a wrong token or URL is not mended in a minute.
            $slow = $answer['status'] >= 300 && !self::passing($answer['status']);
            $waited = time() - intdiv(self::time($name), 1000000);
            @touch("$this->spool/$name", time() + ($slow ? 3600 : max(60, min(3600, $waited))));
            foreach ($older as $other) @unlink("$this->spool/$other");
            if (count($all) > count($older) + 1) @unlink("$this->spool/$name"); // a newer one waits already
        }
        $answer['kept'] = $inSpool;
        return $answer;
    }

    /** Names in the spool, oldest first; of one key if given. */
    private function waiting(string $key = '[0-9a-f-]+'): array
    {
        return $this->files("/^[0-9]{16}\.$key\.json$/D");
    }

    /** Sorted. Not glob(), which finds nothing below a path like Hubzilla's store/[data]. */
    private function files(string $pattern, string $below = ''): array
    {
        return array_values(preg_grep($pattern, @scandir("$this->spool/$below") ?: []));
    }

    /** Microseconds. Not a cast of the whole name: "….8e3" would be read as an exponent. */
    private static function time(string $name): int
    {
        return (int) substr($name, 0, 16);
    }

    /** Empty when the spool can be used. */
    private function spoolProblem(): string
    {
        if ($this->spool === '' || $this->spool[0] !== '/') return 'its path is not absolute';
        if (!is_dir("$this->spool/refused") && !@mkdir("$this->spool/refused", 0700, true)) return "$this->spool cannot be made";
        if (!is_writable($this->spool)) return "$this->spool is not writable by this user";
        $real = realpath($this->spool) . '/';
        foreach ([$_SERVER['DOCUMENT_ROOT'] ?? '', function_exists('appdirpath') ? appdirpath() : ''] as $web) {
            $web = $web === '' ? false : realpath($web);
            if ($web !== false && str_starts_with($real, rtrim($web, '/') . '/')) return "$this->spool is inside the web root";
        }
        if (((int) fileperms($this->spool) & 0077) !== 0 && !@chmod($this->spool, 0700)) return "$this->spool can be read by others";
        return '';
    }

    private static function key(array $envelope, string $body): string
    {
        $address = [$envelope['addon'] ?? null, $envelope['association_slug'] ?? null, $envelope['participant_id'] ?? null];
        $one = in_array($address[0], ['vs01', 'dsc01'], true) ? (string) json_encode($address) : $body;
        $association = (string) json_encode([$address[0], $address[1]]);
        return substr(hash('sha256', $association), 0, 8) . '-' . substr(hash('sha256', $one), 0, 32);
    }

    /** @param resource $lock released when it is closed, by the end of the function that holds it or of the process */
    private static function acquire($lock, int $seconds): bool
    {
        for ($end = microtime(true) + $seconds; !flock($lock, LOCK_EX | LOCK_NB); usleep(20000)) {
            if (microtime(true) >= $end) return false;
        }
        return true;
    }

    private static function answer(string $result, int $status, string $detail, bool $kept, array $more = []): array
    {
        return ['result' => $result, 'status' => $status, 'detail' => trim($detail), 'kept' => $kept] + $more;
    }

    private static function log(string $line): void
    {
        function_exists('logger') ? logger("civic_receiver: $line") : error_log("civic_receiver: $line");
    }

    // ---- the envelope as it is stored, and its digest

    /** What the receiver would do to a PHP spelling (SPEC 3), done before the post, so that the digest is that of the record. */
    private static function normalised(array|stdClass $envelope): array
    {
        $envelope = (array) $envelope;
        if (is_int($envelope['association_channel_id'] ?? null)) $envelope['association_channel_id'] = (string) $envelope['association_channel_id'];
        $scenarios = ($envelope['addon'] ?? null) === 'scn01';
        foreach ($scenarios ? ['vs_snapshot', 'dsc_snapshot'] : ['fields'] as $map) {
            if (($envelope[$map] ?? null) === []) $envelope[$map] = new stdClass(); // PHP's empty map
        }
        $pins = $scenarios ? $envelope['pinned_scenario_ids'] ?? null : null;
        $pins = $pins instanceof stdClass ? (array) $pins : $pins;
        if (is_array($pins) && !preg_grep('/^(0|[1-9][0-9]*)$/D', array_map('strval', array_keys($pins)), PREG_GREP_INVERT)) {
            // array_unique and array_filter leave gaps, and a list with gaps is printed as an object.
            uksort($pins, fn($a, $b) => strlen((string) $a) <=> strlen((string) $b) ?: strcmp((string) $a, (string) $b));
            $once = [];
            foreach ($pins as $pin) if (!in_array($pin, $once, true)) $once[] = $pin;
            $envelope['pinned_scenario_ids'] = $once;
        }
        return $envelope;
    }

    /**
     * The content digest of a record: blake2b-256 over its RFC 8785 form, without what is not its content. A wallet may
     * write "scn01:<digest>" as the comment of a transfer. Null without the sodium extension: submit without it then.
     */
    public static function digest(array|stdClass $record): ?string
    {
        if (!function_exists('sodium_crypto_generichash')) return null;
        $content = array_diff_key(self::normalised($record), array_flip(['g1_tx_hash', 'g1_tx_hash_raw', 'submitted_at', 'node_token_hash', 'receipt']));
        return bin2hex(sodium_crypto_generichash(self::canonical($content, true), '', 32));
    }

    /** RFC 8785. Lists and maps are told apart as json_encode does: an array with keys 0..n-1 in order, also [], is a list. */
    public static function canonical(mixed $value, bool $map = false): string
    {
        if ($value instanceof stdClass) return self::canonical((array) $value, true);
        if (is_int($value) || is_float($value)) return self::number((float) $value);
        if (is_object($value)) throw new JsonException('Only arrays and stdClass have a canonical form');
        if (!is_array($value)) return json_encode($value, self::FLAGS | JSON_UNESCAPED_LINE_TERMINATORS);
        if (!$map && array_is_list($value)) return '[' . implode(',', array_map(fn($item) => self::canonical($item), $value)) . ']';
        // UTF-16 puts characters beyond U+FFFF before U+E000 to U+FFFF, bytes put them after: exchange the lead bytes.
        $utf16 = fn($key) => strtr((string) $key, "\xEE\xEF\xF0\xF1\xF2\xF3\xF4", "\xF3\xF4\xEE\xEF\xF0\xF1\xF2");
        uksort($value, fn($a, $b) => strcmp($utf16($a), $utf16($b)));
        $members = [];
        foreach ($value as $key => $item) $members[] = self::canonical((string) $key) . ':' . self::canonical($item);
        return '{' . implode(',', $members) . '}';
    }

    /** As ECMAScript prints it. %.*H with -1 gives the shortest digits that read back as the same double, whatever php.ini says. */
    private static function number(float $x): string
    {
        if (!is_finite($x)) throw new JsonException('Inf and NaN cannot be JSON encoded');
        if ($x == 0.0) return '0';
        preg_match('/^(-?)(\d+)(?:\.(\d+))?(?:E([+-]\d+))?$/i', sprintf('%.*H', -1, $x), $part);
        $digits = $part[2] . ($part[3] ?? '');
        $point = strlen($part[2]) + (int) ($part[4] ?? 0) - (strlen($digits) - strlen(ltrim($digits, '0')));
        $digits = trim($digits, '0');
        $count = strlen($digits);
        return $part[1] . match (true) { // the value is 0.digits times ten to the power of point
            $point > 21 || $point < -5 => $digits[0] . ($count > 1 ? '.' . substr($digits, 1) : '') . sprintf('e%+d', $point - 1),
            $point >= $count => str_pad($digits, $point, '0'),
            $point > 0 => substr($digits, 0, $point) . '.' . substr($digits, $point),
            default => '0.' . str_repeat('0', -$point) . $digits,
        };
    }

    /** Where and why json_encode fails, which names neither place nor value itself. */
    private static function unprintable(mixed $value, string $at = '', int $depth = 0): array
    {
        $error = match (true) {
            $depth > 500 => 'is nested too deep',
            is_string($value) && !preg_match('//u', $value) => 'is not valid UTF-8; convert it before the post',
            is_float($value) && !is_finite($value) => 'is infinite or not a number',
            is_resource($value) => 'is not a value that JSON has',
            default => null,
        };
        if ($error !== null) return [['pointer' => $at, 'detail' => $error]];
        $errors = [];
        foreach (is_array($value) || $value instanceof stdClass ? (array) $value : [] as $key => $item) {
            $readable = preg_match('//u', (string) $key);
            if (!$readable) $errors[] = ['pointer' => $at, 'detail' => 'has a key that is not valid UTF-8'];
            else array_push($errors, ...self::unprintable($item, $at . '/' . strtr((string) $key, ['~' => '~0', '/' => '~1']), $depth + 1));
        }
        return $errors;
    }
}

}
