/** Finds the names in a refused envelope that the log may hold: names from the contracts, and none that the sender made up. */
import {
  type Contract,
  type Contracts,
  type FieldError,
  type JsonObject,
  versionsOf,
} from '../../contracts/contract.ts'

export type OwnNames = {
  /** The addon that the envelope names, if the registry has it. */
  readonly addon?: string
  /** Members of the contract in which, or below which, something is wrong; each once. */
  readonly pointers: readonly string[]
}

/** `sent` is undefined when the body is no JSON object. */
export function ownNames(
  sent: JsonObject | undefined,
  errors: readonly FieldError[],
  contracts: Contracts,
): OwnNames {
  const ofAddon = versionsOf(contracts, sent?.addon)
  const judging = ofAddon ?? [...contracts.values()].flat()
  const members = errors.map(({ pointer }) => pointer.split('/', 2)[1] ?? '')
  const own = new Set(members.filter((name) => judging.every((contract) => isMember(contract, name))))
  return {
    ...(ofAddon?.[0] && { addon: ofAddon[0].addon }),
    pointers: [...own].map((name) => `/${name}`),
  }
}

function isMember({ envelope }: Contract, name: string): boolean {
  return Object.hasOwn(envelope.entries, name)
}
