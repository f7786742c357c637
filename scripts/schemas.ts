/**
 * Writes contracts/<addon>.v<major>.schema.json from the contracts; with --check, says which ones are out of date.
 *
 * A rule without a JSON Schema stops it. What no JSON Schema can say is listed under `x-not-expressed`, in words.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import type { Contract } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'

const notExpressed = 'x-not-expressed'

const notExpressedForAnyEnvelope = [
  'the body is UTF-8 without a byte order mark, a JSON object, nested at most 32 deep, without ill-formed surrogates',
  'no object holds a key twice, and no object holds the key __proto__',
  'no integer beyond 2^53 - 1 either way, and no number that overflows or becomes zero: such values are sent as strings',
]

const attestation = 'node_token_hash is the SHA-256 of the node token that comes with the request'

export function schemaOf(contract: Contract): JsonSchema & { readonly [notExpressed]: readonly string[] } {
  const { $schema, ...schema } = toJsonSchema(contract.envelope, {
    target: 'draft-2020-12',
    errorMode: 'throw',
    overrideAction: ({ valibotAction, jsonSchema }) =>
      'jsonSchema' in valibotAction
        ? { ...jsonSchema, ...(valibotAction.jsonSchema as JsonSchema) }
        : undefined,
  })
  return {
    $schema,
    $id: `urn:civic-orchestrator:contract:${contract.addon}:${contract.version}`,
    title: `${contract.addon} ${contract.version}`,
    description: 'The envelope as the addon sends it. Other members are stored as sent, with a warning.',
    ...schema,
    [notExpressed]: [
      ...notExpressedForAnyEnvelope,
      ...(contract.attestsToken ? [attestation] : []),
      ...Object.values(schema.properties ?? {}).flatMap(takeNotExpressed),
    ],
  }
}

/** Moves the sentences of one member to the list of the whole schema. */
function takeNotExpressed(member: object | boolean): string[] {
  if (typeof member === 'boolean' || !(notExpressed in member)) return []
  const sentences = member[notExpressed] as string[]
  delete member[notExpressed]
  return sentences
}

export function fileOf(contract: Contract): string {
  return `${contract.addon}.v${contract.version.split('.')[0]}.schema.json`
}

/** The exit code. `directory` is where the schemas are, contracts/. */
export function schemas(args: readonly string[], directory: string): number {
  let code = 0
  for (const contract of [...contracts.values()].flat()) {
    const path = join(directory, fileOf(contract))
    const text = `${JSON.stringify(schemaOf(contract), null, 2)}\n`
    if (!args.includes('--check')) writeFileSync(path, text)
    else if (readOrEmpty(path) !== text) {
      console.error(
        `${fileOf(contract)} differs from its contract: run "npm run schemas" and commit the file`,
      )
      code = 1
    }
  }
  return code
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.exitCode = schemas(process.argv.slice(2), join(import.meta.dirname, '../contracts'))
}
