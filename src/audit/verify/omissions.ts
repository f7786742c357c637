/**
 * Names what a run of `verify` did not check, and what nobody can check. Every answer says so, because silence would look like
 * a check.
 */
import { counted } from '../../cli/print.ts'
import { addonsWith } from '../addons.ts'
import type { Totals } from './whole.ts'

export type ChecksMade = {
  /** How many receipts and heads from outside were given. */
  readonly receipts: number
  readonly chainOnly: boolean
  readonly modesChecked: boolean
}

export function omissions({ files, withoutReceipt }: Totals, checked: ChecksMade): string[] {
  const found: string[] = []
  if (checked.receipts === 0 && withoutReceipt > 0)
    found.push(
      'a file that was rewritten or shortened as a whole, head file and all: a rewritten or shortened file would not be seen without a receipt from outside',
    )
  else if (withoutReceipt > 0)
    found.push(
      `the same of ${counted(withoutReceipt, 'association')} of which no receipt and no head was given`,
    )
  if (checked.chainOnly)
    found.push(
      `contents, ids and payments of records whose chain holds${files > 0 ? `, and all of ${counted(files, 'file')} without history` : ''} (--chain)`,
    )
  if (!checked.modesChecked) found.push('modes of files and directories (--copy)')
  return found
}

/** Holds for every run, so every answer says it. */
export const beyond = [
  `${addonsWith('overwrite-by-placekey').join(' and ')} keep the latest state only: a change to one of these files leaves no trace`,
  'what was never stored; who wrote what; whether the clocks were right; whether a payment was made (g1)',
]
