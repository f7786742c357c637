/** The text of a record that the next record of the same Placekey replaces (SPEC 4, "Overwrite by Placekey"). */
import type { AcceptedRecord } from '../../contracts/record.ts'

/** The envelope as indented JSON, `receipt` last, and a final line feed. */
export function latestText({ members, unhashed }: AcceptedRecord, receivedAt: string): string {
  const all = [...members, ...unhashed, ['receipt', { received_at: receivedAt }] as const]
  // each member is printed as an object of its own, without its braces: one object for all would put integer names first
  const lines = all.map(([name, value]) => JSON.stringify({ [name]: value }, null, 2).slice(2, -2))
  return `{\n${lines.join(',\n')}\n}\n`
}
