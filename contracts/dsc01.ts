/** dsc01: Diagnostic Surface Categories of an address. Only the latest set is kept. */
import type { Contract } from './contract.ts'
import { common, envelope, fieldMap, reserved } from './envelope.ts'

export const dsc01 = {
  addon: 'dsc01',
  version: '1.0',
  storage: 'overwrite-by-placekey',
  envelope: envelope({
    ...common('dsc01', '1.0'),
    fields: fieldMap({ min: 1 }),
    ...reserved,
  }),
  attestsToken: false,
} satisfies Contract
