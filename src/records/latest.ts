/** The text of a record that is replaced by the next one of its Placekey (SPEC 4, "Overwrite by Placekey"). */
import type { AcceptedRecord } from '../../contracts/record.ts'

/** The envelope as indented JSON, `receipt` last, and a final line feed. */
export function latestText({ members, unhashed }: AcceptedRecord, receivedAt: string): string {
  const all = [...members, ...unhashed, ['receipt', { received_at: receivedAt }] as const]
  // one object each, without its braces: in one for all, names that are integers would come first
  const lines = all.map(([name, value]) => JSON.stringify({ [name]: value }, null, 2).slice(2, -2))
  return `{\n${lines.join(',\n')}\n}\n`
}
