/**
 * The clock of the sample's receiver, a module that is loaded before the receiver. The time is the number in the file that SAMPLE_CLOCK names, so
 * that two years pass in seconds and the same seed gives the same times of receipt. Nothing else of the receiver is changed.
 */
import { readFileSync } from 'node:fs'

const file = process.env.SAMPLE_CLOCK as string
let last = 0
let isReading = false

/** Reads the time. A library that closes files calls this as well, and then gets the time that was read before. */
function now(): number {
  if (isReading) return last
  isReading = true
  last = Number(readFileSync(file, 'latin1'))
  isReading = false
  return last
}

globalThis.Date = class extends Date {
  constructor(...given: readonly unknown[]) {
    if (given.length === 0) super(now())
    else super(...(given as [number]))
  }

  static override now(): number {
    return now()
  }
} as DateConstructor
