/** Separates the members that the sender wrote from those of the receiver, so that the two cannot be confused. */
import type { JsonObject } from '../../contracts/contract.ts'
import { namedMembers } from './addons.ts'

type Parted = { readonly sent: JsonObject; readonly unnamed: JsonObject; readonly written: JsonObject }

/**
 * `receipt`, `node_token_hash` and `g1_tx_hash_raw` are the receiver's. The contracts reserve them, so no sender can have
 * written them.
 */
export function parted(record: JsonObject, addon: string): Parted {
  const named = new Set(namedMembers(addon))
  const written = new Set(['receipt', 'node_token_hash', 'g1_tx_hash_raw'].filter((name) => named.has(name)))
  const those = (isMeant: (name: string) => boolean): JsonObject =>
    Object.fromEntries(Object.entries(record).filter(([name]) => isMeant(name)))
  return {
    sent: those((name) => named.has(name) && !written.has(name)),
    unnamed: those((name) => !named.has(name)),
    written: those((name) => written.has(name)),
  }
}
