/**
 * The sample of mistakes by rule that CI makes again in every run. Each has the test that noticed it when the sample was drawn, or the reason
 * why no test has to. The sample is drawn once and kept in `sample.json`, so that a change of a line elsewhere cannot bring a mistake into CI that
 * nobody has looked at. A mistake whose line has changed since is "gone" and does not count. When too many are gone, CI asks for a new sample.
 */
import { readFileSync, writeFileSync } from 'node:fs'

export type Sampled =
  | { readonly name: string; readonly killedBy: string }
  /** `lives` is the reason why no test has to notice it; empty until somebody has written one. */
  | { readonly name: string; readonly lives: string }

/** This share of the drawn mistakes must still fit the tree. */
export const leastPresent = 0.6

/** The result of `--over` for all of `src/`: how many mistakes were made, and those that no test noticed. */
export type Survivors = {
  readonly seed: string
  readonly perFile: number
  readonly files: number
  readonly made: number
  readonly killed: number
  readonly survivors: readonly { readonly name: string; readonly lives: string }[]
}

const path = new URL('./sample.json', import.meta.url)
const survivorsPath = new URL('./survivors.json', import.meta.url)

export function readSample(): Sampled[] {
  return JSON.parse(readFileSync(path, 'utf8')) as Sampled[]
}

export function writeSample(sampled: readonly Sampled[]): void {
  writeFileSync(path, `${JSON.stringify(sampled, undefined, 2)}\n`)
}

export function readSurvivors(): Survivors {
  return JSON.parse(readFileSync(survivorsPath, 'utf8')) as Survivors
}

export function writeSurvivors(survivors: Survivors): void {
  writeFileSync(survivorsPath, `${JSON.stringify(survivors, undefined, 2)}\n`)
}
