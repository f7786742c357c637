/** The rows that `g1` prints about a record, a proof and an endpoint. */
import type { Json } from '../../../contracts/contract.ts'
import type { Io } from '../../cli/io.ts'
import { aligned, type Printer } from '../../cli/print.ts'
import type { Identity } from './facts.ts'
import type { Proof } from './proof.ts'
import type { Online } from './verdict.ts'

export type RecordReport = {
  readonly place: string
  readonly participant_id: string | undefined
  readonly submitted_at: string | undefined
  readonly g1_tx_hash: string | undefined
  /** The value that was sent instead of a hash. */
  readonly g1_tx_hash_raw: Json | undefined
  readonly digest: string | undefined
  readonly problems: readonly string[]
  readonly online: Online | undefined
}

export const identityText: Readonly<Record<Identity, string>> = {
  Ğ1: 'yes: it holds the block of Ğ1 that the makers of Duniter published',
  'another chain':
    'NO: in the place of the block of Ğ1 that the makers of Duniter published it holds another',
  'cannot be told':
    'it does not tell the block of Ğ1 that the makers of Duniter published, so its genesis was compared with nothing',
}

export async function printReport(report: RecordReport, print: Printer, io: Io): Promise<void> {
  await print.give('record', report)
  const { place, participant_id, submitted_at, g1_tx_hash, g1_tx_hash_raw, digest, problems, online } = report
  const rows: [string, string | undefined][] = [
    ['participant', participant_id],
    ['submitted', submitted_at],
    ['hash', g1_tx_hash ?? (g1_tx_hash_raw === undefined ? 'none' : 'none; sent in its place, as JSON:')],
    ['', g1_tx_hash_raw === undefined ? undefined : JSON.stringify(g1_tx_hash_raw)],
    ['digest', digest],
    ['comment', digest && `scn01:${digest.slice(2)}   (for the transfer, by the wallet)`],
    ...problems.map((problem): [string, string] => ['LOOK', problem]),
    ['verdict', online && `${online.verdict}: ${online.meaning}`],
    [
      'block',
      online?.block
        ? `${online.block.number} of ${online.block.time}, extrinsic ${online.block.index}, ${online.block.hash}`
        : undefined,
    ],
    ...(online?.proof ? callRows(online.proof) : []),
  ]
  await print.say(`${place}\n${aligned(rows, io)}`)
}

export function proofRows(proof: Proof): [string, string | undefined][] {
  return [
    ['extrinsic', proof.extrinsic_hash],
    ['hash', proof.hash_matches ? 'is the g1_tx_hash of the record' : 'is NOT the g1_tx_hash of the record'],
    ['digest', proof.digest],
    ...callRows(proof),
  ]
}

const commentTexts: Readonly<Record<Proof['comment'], string>> = {
  'this record': 'names this record',
  'another record': 'names ANOTHER record',
  none: 'there is no scn01: comment, so nothing ties this payment to the record',
  'call not recognised': 'cannot be read',
}

function signatureText(signature: Proof['signature']): string {
  if (signature.verdict === 'not checked') return `NOT checked: ${signature.why}`
  return signature.verdict === 'valid'
    ? 'valid: the payer that is named signed it'
    : 'NOT valid: the payer that is named did not sign it for this chain'
}

function callRows(proof: Proof): [string, string | undefined][] {
  return [
    ['LOOK', proof.warning ?? undefined],
    ['comment', commentTexts[proof.comment]],
    ['payer named', proof.payer ?? undefined],
    ['signature', signatureText(proof.signature)],
    ...proof.payments.map(({ call, payee, amount }): [string, string] => [
      'transfer',
      `${amount} to ${payee}   (${call})`,
    ]),
    [
      'call',
      proof.unread ??
        (proof.payments.length === 0 ? 'no transfer in it: nothing shows a payment' : undefined),
    ],
  ]
}
