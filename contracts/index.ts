/** The registry of contracts. To add an addon, or a version of one, add a file beside this one and its name to this list. */
import type { Contract, Contracts } from './contract.ts'
import { dsc01 } from './dsc01.ts'
import { scn01 } from './scn01.ts'
import { vs01 } from './vs01.ts'

export const contracts: Contracts = byAddon({ vs01, dsc01, scn01 })

function byAddon(registered: Readonly<Record<string, Contract>>): Contracts {
  const found = new Map<string, Contract[]>()
  for (const contract of Object.values(registered)) {
    found.set(contract.addon, [...(found.get(contract.addon) ?? []), contract])
  }
  return found
}
