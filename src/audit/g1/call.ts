/**
 * Decodes the calls of the Ğ1 runtime that move money or carry a comment, by pallet and call number. The numbers are from
 * duniter-v2s (g1, spec versions 1000 and 1100, with which Ğ1 began). A later upgrade may change them. A call that is not in
 * this table, or whose bytes do not end where they should, is "not recognised".
 */
import { accountId } from './extrinsic.ts'
import { attempt, Malformed, type Reader, reader } from './scale.ts'

export const knownSpecVersions: readonly number[] = [1000, 1100]

export type Transfer = {
  readonly call: string
  readonly payee: Uint8Array
  /** Undefined for a transfer of the whole balance. */
  readonly amount: bigint | undefined
  readonly unit: 'centime' | 'milliUD'
}

/** What a call does, batches unfolded in their order. */
export type Effects = { readonly transfers: readonly Transfer[]; readonly remarks: readonly Uint8Array[] }

type Decoder = (from: Reader, depth: number) => Effects

const transfer =
  (call: string, unit: Transfer['unit']): Decoder =>
  (from) => ({ transfers: [{ call, payee: accountId(from), amount: from.compact(), unit }], remarks: [] })

const transferAll: Decoder = (from) => {
  const payee = accountId(from)
  from.byte() // keep_alive
  return {
    transfers: [{ call: 'balances.transfer_all', payee, amount: undefined, unit: 'centime' }],
    remarks: [],
  }
}

const remark: Decoder = (from) => ({ transfers: [], remarks: [from.bytes()] })

const batch: Decoder = (from, depth) => {
  if (depth > 4) throw new Malformed('batches inside batches')
  const calls: Effects[] = []
  for (let left = from.compact(); left > 0n; left--) calls.push(decodeCall(from, depth + 1))
  return {
    transfers: calls.flatMap((call) => call.transfers),
    remarks: calls.flatMap((call) => call.remarks),
  }
}

const known = new Map<string, Decoder>([
  ['0.0', remark], // system.remark
  ['0.7', remark], // system.remark_with_event, which wallets use for comments
  ['6.0', transfer('balances.transfer_allow_death', 'centime')],
  ['6.3', transfer('balances.transfer_keep_alive', 'centime')],
  ['6.4', transferAll],
  ['7.0', transfer('oneshot_account.create_oneshot_account', 'centime')],
  ['30.1', transfer('universal_dividend.transfer_ud', 'milliUD')],
  ['30.2', transfer('universal_dividend.transfer_ud_keep_alive', 'milliUD')],
  ['54.0', batch], // utility.batch: goes on to the end or to the first failure
  ['54.2', batch], // utility.batch_all: all or nothing
  ['54.4', batch], // utility.force_batch: failures are passed over
])

function decodeCall(from: Reader, depth: number): Effects {
  const decoder = known.get(`${from.byte()}.${from.byte()}`)
  if (!decoder) throw new Malformed('call not recognised')
  return decoder(from, depth)
}

/** Undefined when the bytes are no known call, or when bytes follow the call. */
export function effectsOf(call: Uint8Array): Effects | undefined {
  return attempt(() => {
    const from = reader(call)
    const found = decodeCall(from, 0)
    from.end()
    return found
  })
}

/** Such as `1.00 Ğ1`. The chain counts in hundredths. */
export function amountText(transfer: Transfer): string {
  if (transfer.amount === undefined) return 'everything in the account'
  const whole = transfer.unit === 'centime' ? 100n : 1000n
  const digits = transfer.unit === 'centime' ? 2 : 3
  const fraction = String(transfer.amount % whole).padStart(digits, '0')
  return `${transfer.amount / whole}.${fraction} ${transfer.unit === 'centime' ? 'Ğ1' : 'UD'}`
}
