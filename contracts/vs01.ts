/** vs01: Vital Signs, an ongoing assessment that belongs to the address. Only the latest assessment is kept. */
import * as v from 'valibot'
import type { Contract } from './contract.ts'
import { common, envelope, fieldMap, line, oneOf, reserved } from './envelope.ts'

export const vs01 = {
  addon: 'vs01',
  version: '1.0',
  storage: 'overwrite-by-placekey',
  envelope: envelope({
    ...common('vs01', '1.0'),
    vs_code: v.exactOptional(line(/^VS-[0-9]{2}$/, 5, 'must be "VS-" and two digits, or be left out')),
    perspective: v.exactOptional(oneOf('homeowner', 'professional', 'public_record')),
    fields: fieldMap({ min: 1 }),
    ...reserved,
  }),
  attestsToken: false,
} satisfies Contract
