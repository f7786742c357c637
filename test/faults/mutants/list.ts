/**
 * Mistakes that somebody could make in this program, and what has to notice each. A suite that lets one of them live
 * proves nothing about that invariant. `scripts/mutants.ts` makes them one by one in a copy of the tree.
 */

/** A part of `npm run test:faults` with the share that suffices, or a test file. */
export type Check = { readonly part: string; readonly share: number } | { readonly test: string }

export type Mutant = {
  readonly name: string
  /** The invariant that it breaks. */
  readonly breaks: string
  readonly file: string
  /** Stands in the file exactly once. */
  readonly find: string
  readonly replace: string
  /** One after another until one fails; the first is the one that is expected to. */
  readonly caughtBy: readonly Check[]
}

const crashStates: Check = { part: 'crash-states', share: 0.01 }
const damage: Check = { part: 'damage', share: 0.02 }
const model: Check = { part: 'model', share: 0.01 }

export const mutants: readonly Mutant[] = [
  {
    name: 'no-directory-fsync',
    breaks: 'a name is on disk before the receipt leaves',
    file: 'src/storage/durable-file.ts',
    find: 'export function fsyncDirectory(directory: string): Promise<void> {\n',
    replace:
      'export function fsyncDirectory(directory: string): Promise<void> {\n  if (directory) return Promise.resolve()\n',
    caughtBy: [crashStates],
  },
  {
    name: 'no-parent-fsync',
    breaks: 'a new directory is on disk before the receipt leaves',
    file: 'src/storage/durable-file.ts',
    find: '    await fsyncDirectory(dirname(directory))\n',
    replace: '',
    caughtBy: [crashStates],
  },
  {
    name: 'directory-fsync-shared-too-early',
    breaks: 'an fsync of the directory serves only renames before its start',
    file: 'src/storage/durable-file.ts',
    find: '  if (!round) return startRound(directory)\n',
    replace: '  if (!round) return startRound(directory)\n  if (round) return round.running\n',
    caughtBy: [{ test: 'test/durable-file.test.ts' }],
  },
  {
    name: 'answer-before-fdatasync',
    breaks: 'append (3): a receipt leaves only when the bytes are on disk',
    file: 'src/storage/association-file.ts',
    find: '    await datasync(this.#opened().fd)\n',
    replace: '    datasync(this.#opened().fd).catch(() => {})\n',
    caughtBy: [crashStates],
  },
  {
    name: 'duplicate-without-a-look',
    breaks: 'a duplicate is answered from the file that is at its path, under the lock',
    file: 'src/storage/append.ts',
    find: '    if (!lock.held() || !this.#file.isAsLeft()) return undefined\n',
    replace: '',
    caughtBy: [{ test: 'test/altered.test.ts' }],
  },
  {
    name: 'head-before-fdatasync',
    breaks: 'the head file never leads the records file',
    file: 'src/storage/association-file.ts',
    find: '      writeAllSync(this.#opened().fd, batch.bytes, isEmpty ? 0 : from.end)\n',
    replace:
      '      writeAllSync(this.#opened().fd, batch.bytes, isEmpty ? 0 : from.end)\n      if (this.#head) writeHeadSync(this.#head.fd, headOf(batch.next))\n',
    caughtBy: [crashStates],
  },
  {
    name: 'duplicate-answered-from-the-page-cache',
    breaks: 'nothing is answered from bytes of a dead writer before they are synced',
    file: 'src/storage/association-file.ts',
    find: '    if (!this.#unsynced) return\n',
    replace: '    if (this.#unsynced || !this.#unsynced) return\n',
    caughtBy: [crashStates],
  },
  {
    name: 'index-of-a-file-that-was-changed',
    breaks:
      'association (5): an index is used only for a file that nobody has changed since its last receipt',
    file: 'src/storage/association-file.ts',
    find: 'head?.ctime === stat.ctimeNs && BigInt(head.size) === stat.size',
    replace: 'BigInt(head?.size ?? 0) === stat.size',
    caughtBy: [{ test: 'test/index-file.test.ts' }],
  },
  {
    name: 'index-of-a-file-that-is-not-closed',
    breaks: 'association (5): an index is used only for a file whose end is closed',
    file: 'src/storage/association-file.ts',
    find: '!isAt(head, position) || !(await isClosed(file, position, head.size))',
    replace: '!isAt(head, position)',
    caughtBy: [{ test: 'test/index-file.test.ts' }],
  },
  {
    name: 'index-that-is-not-checked',
    breaks: 'an index that was damaged is not used',
    file: 'src/storage/index-file.ts',
    find: 'check === checkOf(position, table)',
    replace: 'check',
    caughtBy: [{ test: 'test/index-file.test.ts' }],
  },
  {
    name: 'rename-before-fsync',
    breaks: 'overwrite (1): at any instant the file is one whole envelope',
    file: 'src/storage/overwrite.ts',
    find: '      await syncFile(fd)\n',
    replace: '',
    caughtBy: [crashStates],
  },
  {
    name: 'short-write-renamed-over-a-good-file',
    breaks: 'a file that was cut short by a full disk never replaces a good one',
    file: 'src/storage/overwrite.ts',
    find: 'writeAllSync(fd, bytes, 0)',
    replace: "(await import('node:fs')).writeSync(fd, bytes, 0, bytes.length, 0)",
    caughtBy: [
      { part: 'full-disk', share: 0.02 },
      { part: 'errors', share: 0.1 },
    ],
  },
  {
    name: 'cut-by-backward-scan',
    breaks: 'recovery verifies forward along the chain',
    file: 'src/storage/records-file.ts',
    find: '    if (receipt?.sequence !== position.count + 1 || receipt.previous_sha256 !== position.sha256) return false\n',
    replace: '    if (!receipt) return true\n',
    caughtBy: [damage, crashStates],
  },
  {
    name: 'last-line-not-looked-at',
    breaks: 'a record counts only if its successor, the head or its own content vouches for it',
    file: 'src/storage/recover.ts',
    find: '  if (!vouched && !(await isWholeAt(file, last.offset, last.here.end)))',
    replace: '  if (!vouched && !(await isWholeAt(file, last.offset, last.here.end)) && last.offset < 0)',
    caughtBy: [damage, crashStates],
  },
  {
    name: 'head-trusted-over-the-file',
    breaks: 'what the head file says is compared, not believed',
    file: 'src/storage/recover.ts',
    find: '  let agreesWithHead = head === undefined || head.count < from.count || head.count === 0 || isAt(head, from)\n',
    replace:
      '  if (head && head.count > from.count && head.size - closing.length <= until)\n    return {\n      position: { count: head.count, end: head.size - closing.length, sha256: head.sha256 },\n      agreesWithHead: true,\n    }\n  let agreesWithHead = head === undefined || head.count < from.count || head.count === 0 || isAt(head, from)\n',
    caughtBy: [damage, model],
  },
  {
    name: 'head-not-compared-when-preloading',
    breaks: 'what is read without the lock is held against the head file, too',
    file: 'src/storage/association-file.ts',
    find: '      if (!(await this.#readFromStart(file, Number(stat.size) - closing.length, head))) this.#forget()\n      else ',
    replace: '      await this.#readFromStart(file, Number(stat.size) - closing.length, head)\n      ',
    caughtBy: [damage, { test: 'test/altered.test.ts' }],
  },
  {
    name: 'memory-is-no-witness',
    breaks: 'a receiver that knows a record does not take a file without it',
    file: 'src/storage/association-file.ts',
    find: '    if (!this.#seen || this.#seen.ctime === unlocked) return head\n',
    replace: '    if (head || !head) return head\n',
    caughtBy: [damage, { test: 'test/altered.test.ts' }],
  },
  {
    name: 'open-file-not-looked-at',
    breaks: 'nothing is written into a file that somebody else has changed',
    file: 'src/storage/association-file.ts',
    find: '    return this.#seen !== undefined && isSame(this.#seen, this.#stampNow())\n',
    replace: '    return this.#seen !== undefined\n',
    caughtBy: [damage, { test: 'test/altered.test.ts' }],
  },
  {
    name: 'torn-bytes-thrown-away',
    breaks: 'what recovery cuts off is kept',
    file: 'src/storage/recover.ts',
    find: "  if (!ending.startsWith(cut.toString('latin1'))) await keepTorn(path, cut)\n",
    replace: '',
    caughtBy: [damage],
  },
  {
    name: 'growth-not-remembered',
    breaks: 'append (4): the same envelope is there once, whoever stored it',
    file: 'src/storage/association-file.ts',
    find: '  readonly #remember = (id: string, offset: number): void => this.#ids.add(id, offset)\n',
    replace: '  readonly #remember = (id: string, offset: number): void => void [id, offset]\n',
    caughtBy: [model, crashStates],
  },
  {
    name: 'receipts-of-a-batch-mixed-up',
    breaks: 'each sender of a batch gets the receipt of its own record',
    file: 'src/storage/append.ts',
    find: '      for (const record of written) stored.set(record.id, record)\n',
    replace:
      '      for (const [at, { id }] of written.entries()) stored.set(id, written[written.length - 1 - at] as Written)\n',
    caughtBy: [model, crashStates],
  },
  {
    name: 'batch-without-its-duplicates',
    breaks: 'append (4): parallel retries of one envelope are one record',
    file: 'src/storage/append.ts',
    find: '        else if (!fresh.has(waiting.id)) fresh.set(waiting.id, waiting)\n',
    replace: '        else fresh.set(fresh.has(waiting.id) ? waiting.id + 1 : waiting.id, waiting)\n',
    caughtBy: [model, { test: 'test/append.test.ts' }],
  },
  {
    name: 'overwrites-out-of-order',
    breaks: 'overwrite (3): of two envelopes for one Placekey the later one stays',
    file: 'src/storage/overwrite.ts',
    find: '    const before = this.#lines.get(path) ?? Promise.resolve()\n',
    replace: '    const before = new Promise<void>((go) => setTimeout(go, Math.random() * 20))\n',
    caughtBy: [model, { test: 'test/overwrite.test.ts' }],
  },
  {
    name: 'no-fence',
    breaks: 'nothing is written under a lock that was lost, or into a file that its next holder has changed',
    file: 'src/storage/association-file.ts',
    find: '    if (!isHeld() || !this.isAsLeft()) return undefined\n',
    replace: '',
    caughtBy: [{ test: 'test/fence.test.ts' }],
  },
  {
    name: 'lost-lock-released',
    breaks: 'lock (2): a lock directory that somebody else made is never removed',
    file: 'src/storage/lock.ts',
    find: '        if (isOurs(path)) fs.rmdirSync(path)\n      } else {',
    replace: '        fs.rmdirSync(path)\n      } else {',
    caughtBy: [{ part: 'locks', share: 0.1 }, { test: 'test/lock.test.ts' }],
  },
  {
    name: 'old-end-not-put-back',
    breaks: 'after a full disk the old content stands',
    file: 'src/storage/association-file.ts',
    find: '      else if (!(await this.#putBack(isEmpty, isHeld)) || !isFull(error)) this.#forget()\n',
    replace: '      else this.#forget()\n',
    caughtBy: [
      { part: 'full-disk', share: 0.02 },
      { part: 'errors', share: 0.1 },
    ],
  },
  {
    name: 'short-write-taken-for-whole',
    breaks: 'every byte is written, or it is an error',
    file: 'src/storage/durable-file.ts',
    find: '  while (written < bytes.length) {\n',
    replace: '  while (written === 0) {\n',
    caughtBy: [{ part: 'errors', share: 0.1 }],
  },
  {
    name: 'duplicate-key-accepted',
    breaks: 'no envelope that two readers would read differently is stored',
    file: 'src/http/json.ts',
    find: "    if (object.keys.has(key)) note(malformed, 'is there twice in one object; send each key once')\n",
    replace: '',
    caughtBy: [{ part: 'input', share: 0.01 }, { test: 'test/intake.test.ts' }],
  },
  {
    name: 'keys-not-counted',
    breaks: 'no envelope that two readers would read differently is stored',
    file: 'src/http/json.ts',
    find: '  return keys === keysIn(value)\n',
    replace: '  return keys >= keysIn(value)\n',
    caughtBy: [{ test: 'test/intake.test.ts' }],
  },
]
