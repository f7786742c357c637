/**
 * Writes contracts/<addon>-<version>.schema.json from the contracts, and the rules that the PHP client must know
 * (deploy/hubzilla/civic_receiver/rules.php). With --check it says which of these files are out of date.
 *
 * The program stops at a rule that has no JSON Schema. Rules that no JSON Schema can express are listed in words under `x-not-expressed`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import { type Contract, fileNameOf, unhashedNames } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'

const notExpressed = 'x-not-expressed'

const notExpressedForAnyEnvelope = [
  'the body is UTF-8 without a byte order mark, a JSON object, nested at most 32 deep, of at most 50,000 values, without ill-formed surrogates',
  'no object holds a key twice, and no object holds the key __proto__',
  'no integer beyond 2^53 - 1 either way, and no number that overflows or becomes zero: such values are sent as strings',
]

const attestedToken = 'node_token_hash is the SHA-256 of the node token that comes with the request'

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
      ...(contract.attestsToken ? [attestedToken] : []),
      ...Object.values(schema.properties ?? {}).flatMap(takeNotExpressed),
    ],
  }
}

/** Takes the `x-not-expressed` sentences out of one member, for the list of the whole schema. */
function takeNotExpressed(member: object | boolean): string[] {
  if (typeof member === 'boolean' || !(notExpressed in member)) return []
  const sentences = member[notExpressed] as string[]
  delete member[notExpressed]
  return sentences
}

export function fileOf(contract: Contract): string {
  return `${fileNameOf(contract)}.schema.json`
}

/** The members that are maps. The client must know them, because PHP prints an empty map as a list. */
function mapsOf(contract: Contract): string[] {
  const isMap = (member: JsonSchema): boolean =>
    member.type === 'object' ||
    (member.anyOf ?? []).some(
      (one) => typeof one === 'object' && one.type === 'object' && one.propertyNames === undefined,
    )
  const members = Object.entries(schemaOf(contract).properties ?? {})
  return members.flatMap(([name, member]) => (typeof member === 'object' && isMap(member) ? [name] : []))
}

/** The rules.php of the PHP client, so that a new addon changes nothing in the client. */
function phpRules(): string {
  const list = (names: readonly string[]): string => `[${names.map((name) => `'${name}'`).join(', ')}]`
  const lines = [...contracts].flatMap(([addon, versions]) => [
    `\t'${addon}' => [`,
    ...versions.map((contract) => {
      const isLatestOnly = contract.storage === 'overwrite-by-placekey'
      const members = Object.keys(contract.envelope.entries)
      const rules = `'latest' => ${isLatestOnly}, 'unhashed' => ${list(unhashedNames(contract))}, 'maps' => ${list(mapsOf(contract))}`
      return `\t\t'${contract.version}' => [${rules}, 'members' => ${list(members)}],`
    }),
    '\t],',
  ])
  return `<?php

// Generated from contracts/ by "npm run schemas"; do not change by hand. By addon and version: whether only the latest
// envelope of an address is kept, which members are no part of the id, which are maps, and all that the contract names.

return [
${lines.join('\n')}
];
`
}

/** Runs the program and gives the exit code. `directory` is contracts/, where the schemas are; `rules` is the file of the PHP client. */
export function schemas(args: readonly string[], directory: string, rules: string): number {
  const files = [...contracts.values()].flat().map((contract) => {
    const text = `${JSON.stringify(schemaOf(contract), null, 2)}\n`
    return { path: join(directory, fileOf(contract)), text, from: 'its contract' }
  })
  let code = 0
  for (const { path, text, from } of [...files, { path: rules, text: phpRules(), from: 'the contracts' }]) {
    if (!args.includes('--check')) writeFileSync(path, text)
    else if (readOrEmpty(path) !== text) {
      console.error(`${basename(path)} differs from ${from}: run "npm run schemas" and commit the file`)
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
  const tree = join(import.meta.dirname, '..')
  const rules = join(tree, 'deploy/hubzilla/civic_receiver/rules.php')
  process.exitCode = schemas(process.argv.slice(2), join(tree, 'contracts'), rules)
}
