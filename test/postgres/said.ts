/** Runs the commands for a database like those of the auditor (test/said.ts). It is a file of its own, because few tests need the driver. */
import { runDatabase } from '../../src/database/cli.ts'
import { type Said, said } from '../said.ts'

export function database(...args: readonly string[]): Promise<Said> {
  return said(runDatabase, ...args)
}
