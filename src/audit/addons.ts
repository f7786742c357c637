/** What an auditor's command has to know about addons. Every answer comes from the contracts; nothing here runs in Node only. */
import { type Contract, type StorageRule, unhashedNames } from '../../contracts/contract.ts'
import { contracts } from '../../contracts/index.ts'

/** One association of one addon: the directory `<addon>/<slug>`. */
export type Place = { readonly addon: string; readonly slug: string }

export function placeName({ addon, slug }: Place): string {
  return `${addon}/${slug}`
}

/** Addons by how their records are kept, in the order of the registry. A later version never changes the rule of an addon. */
export function addonsWith(rule: StorageRule): readonly string[] {
  return [...contracts].filter(([, versions]) => versions[0]?.storage === rule).map(([addon]) => addon)
}

export function ruleOf(addon: string): StorageRule | undefined {
  return contracts.get(addon)?.[0]?.storage
}

/** The members that the contracts of an addon name, in the order in which they are stored; all its versions together. */
export function namedMembers(addon: string): readonly string[] {
  const versions = contracts.get(addon) ?? []
  return [...new Set(versions.flatMap(({ envelope }) => Object.keys(envelope.entries)))]
}

/** The member that names the payment of a record, for an addon whose contract has one. */
export const paymentMember = 'g1_tx_hash'

/** Addons whose records can name a payment. */
export function addonsWithPayment(): readonly string[] {
  return addonsWith('append-only').filter((addon) => namedMembers(addon).includes(paymentMember))
}

/** What the receiver adds to a record of this contract, besides `receipt`; undefined stands for a contract not known here. */
export function addedNames(contract: Contract | undefined): readonly string[] {
  return contract ? unhashedNames(contract) : []
}
