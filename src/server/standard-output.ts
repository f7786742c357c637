/**
 * Writes to standard output so that a slow reader holds up neither the receiver nor its end.
 *
 * A pipe, a socket (of journald, for example) and a device are written without waiting. Bytes that they do not accept are kept
 * and tried again. (A thread that waits in a write would keep the process from ending.) A regular file accepts everything, but
 * the disk may be slow, so a thread of the pool writes it.
 *
 * Lines that cannot be written at all, because the disk is full or the reader is gone, are dropped.
 */

import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { hasCode } from '../error-code.ts'

const standardOutput = 1
/** Text is gathered for so long before it is written, because a write costs more than a line. */
const gatherMs = 20
/** In bytes: so much may wait in memory for a reader that stands still. */
const mostWaiting = 4 * 1024 * 1024
/** How long the end of the process waits for a reader. */
const longestEndMs = 1_000
const pauseMs = 5

export class StandardOutput {
  readonly #isFile = fstatSync(standardOutput).isFile()
  readonly #fd = this.#isFile ? standardOutput : withoutWaiting()
  #gathered = ''
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #isWriting = false
  #droppedLines = 0

  /** False when so much is waiting that further lines are dropped. */
  get hasRoom(): boolean {
    return this.#waitingBytes < mostWaiting
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** How many lines could not be written at all. */
  get droppedLines(): number {
    return this.#droppedLines
  }

  write(text: string): void {
    this.#gathered += text
    this.#timer ??= setTimeout(() => this.#move(), gatherMs)
  }

  /** Writes the waiting text, for at most `longestEndMs`. To be called once, right before the process ends. */
  end(): void {
    clearTimeout(this.#timer)
    this.#gather()
    const until = performance.now() + longestEndMs
    for (;;) {
      this.#writeWhatFits()
      if (this.#waiting.length === 0 || performance.now() > until) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
    }
  }

  #move(): void {
    this.#timer = undefined
    this.#gather()
    if (this.#isFile) {
      if (!this.#isWriting) this.#writeFile()
      return
    }
    const before = this.#waitingBytes
    this.#writeWhatFits()
    if (this.#waiting.length === 0) return
    this.#timer = setTimeout(() => this.#move(), this.#waitingBytes < before ? 1 : gatherMs)
  }

  #gather(): void {
    if (this.#gathered === '') return
    this.#waiting.push(Buffer.from(this.#gathered))
    this.#waitingBytes += (this.#waiting.at(-1) as Buffer).length
    this.#gathered = ''
  }

  #writeWhatFits(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      try {
        this.#written(writeSync(this.#fd, first))
      } catch (error) {
        if (hasCode(error, 'EAGAIN')) return
        this.#drop()
      }
    }
  }

  #writeFile(): void {
    const [first] = this.#waiting
    this.#isWriting = first !== undefined
    if (!first) return
    write(this.#fd, first, (error, bytes) => {
      if (error) this.#drop()
      else this.#written(bytes)
      this.#writeFile()
    })
  }

  #drop(): void {
    const first = this.#waiting[0] as Buffer
    for (let at = first.indexOf('\n'); at >= 0; at = first.indexOf('\n', at + 1)) this.#droppedLines++
    this.#written(first.length)
  }

  /** Removes the oldest waiting bytes, which have been written. */
  #written(bytes: number): void {
    const first = this.#waiting[0] as Buffer
    this.#waitingBytes -= bytes
    if (bytes === first.length) this.#waiting.shift()
    else this.#waiting[0] = first.subarray(bytes)
  }
}

/** Standard output as a descriptor on which a write never waits. */
function withoutWaiting(): number {
  // the access makes Node set a pipe or a socket to non-blocking
  void process.stdout
  if (!fstatSync(standardOutput).isCharacterDevice()) return standardOutput
  try {
    // opened a second time, because the shell and other programs share the first descriptor of the terminal and its flags
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    // the terminal belongs to another user
    return standardOutput
  }
}
