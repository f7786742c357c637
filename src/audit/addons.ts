/** Answers questions about addons from the contracts, for the commands of the auditor. Runs in a browser, too. */
import { type Contract, type StorageRule, unhashedNames } from '../../contracts/contract.ts'
import { contracts } from '../../contracts/index.ts'

/** One association of one addon: the directory `<addon>/<slug>`. */
export type Place = { readonly addon: string; readonly slug: string }

export function placeName({ addon, slug }: Place): string {
  return `${addon}/${slug}`
}

/**
 * The addons whose records are kept by this rule, in the order of the registry. A later version never changes the rule of an
 * addon.
 */
export function addonsWith(rule: StorageRule): readonly string[] {
  return [...contracts].filter(([, versions]) => versions[0]?.storage === rule).map(([addon]) => addon)
}

export function ruleOf(addon: string): StorageRule | undefined {
  return contracts.get(addon)?.[0]?.storage
}

/** The members that the contracts of an addon name, of all its versions together, in the order in which they are stored. */
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

/**
 * The members that the receiver adds to a record of this contract, besides `receipt`. Undefined: the contract is not known
 * here.
 */
export function addedNames(contract: Contract | undefined): readonly string[] {
  return contract ? unhashedNames(contract) : []
}
