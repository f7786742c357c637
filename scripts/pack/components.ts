/** What of other people is in the bundles: their licences, and the bill of materials (CycloneDX). */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { json, Refusal, type Source } from './source.ts'

export type Component = {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly licenceText: string
  /** SHA-512 of the package's archive as package-lock.json has it, in hex. */
  readonly sha512: string | undefined
}

export function componentsOf({ directory, lock }: Source, paths: readonly string[]): Component[] {
  return paths.map((path) => {
    const locked = lock.packages[path]
    const { name, version, license } = json(directory, join(path, 'package.json')) as Record<string, string>
    if (!name || !version || locked?.version !== version)
      throw new Refusal(`${path} is not the version that package-lock.json has: run npm ci`)
    const integrity = /^sha512-(.+)$/.exec(locked.integrity ?? '')?.[1]
    return {
      name,
      version,
      licence: license ?? 'NOASSERTION',
      licenceText: licenceText(join(directory, path)),
      sha512: integrity && Buffer.from(integrity, 'base64').toString('hex'),
    }
  })
}

function licenceText(directory: string): string {
  const files = readdirSync(directory).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name))
  return files
    .sort()
    .map((name) => readFileSync(join(directory, name), 'utf8').trim())
    .join('\n\n')
}

export function licencesText(components: readonly Component[]): string {
  const texts = components.map(({ name, version, licence, licenceText }) => {
    const text = licenceText || `The package has no licence file; its package.json says: ${licence}`
    return `${'='.repeat(80)}\n${name} ${version} (${licence})\n${'='.repeat(80)}\n\n${text}\n`
  })
  return `Packages of which code is bundled in the *.cjs files, and their licences.\n\n${texts.join('\n')}`
}

/** CycloneDX 1.6. Its serial number is made from the commit: another one each time would change the archive. */
export function billOfMaterials(source: Source, components: readonly Component[]): string {
  const { commit, version, date } = source
  const parts = components.map(({ name, version, licence, sha512 }) => ({
    type: 'library',
    'bom-ref': purl(name, version),
    name,
    version,
    purl: purl(name, version),
    licenses: [/ (OR|AND|WITH) /.test(licence) ? { expression: licence } : { license: { id: licence } }],
    ...(sha512 ? { hashes: [{ alg: 'SHA-512', content: sha512 }] } : {}),
  }))
  const own = `pkg:generic/civic-orchestrator@${version}`
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(commit)}`,
    version: 1,
    metadata: {
      timestamp: date.toISOString(),
      component: { type: 'application', 'bom-ref': own, name: 'civic-orchestrator', version, purl: own },
      properties: [{ name: 'civic-orchestrator:commit', value: commit }],
    },
    components: parts,
    dependencies: [{ ref: own, dependsOn: parts.map((part) => part['bom-ref']) }],
  }
  return `${JSON.stringify(bom, null, 2)}\n`
}

function purl(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`
}

/** The commit's first 122 bits in the form of a UUID (RFC 9562, version 8: of our own making). */
function uuidOf(commit: string): string {
  return commit.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-8$3-8$4-$5')
}
