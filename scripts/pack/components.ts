/** Lists the code of other people in the bundles: their licences, and the bill of materials (CycloneDX, by npm). */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { json, Refusal, type Source } from './source.ts'

export type Component = {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly licenceText: string
}

export function componentsOf({ directory, lock }: Source, paths: readonly string[]): Component[] {
  return paths.map((path) => {
    const locked = lock.packages[path]
    const { name, version, license } = json(directory, join(path, 'package.json')) as Record<string, string>
    if (!name || !version || locked?.version !== version)
      throw new Refusal(`${path} is not the version that package-lock.json has: run npm ci`)
    return {
      name,
      version,
      licence: license ?? 'NOASSERTION',
      licenceText: licenceText(join(directory, path)),
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
  return `Packages of which code is bundled in the *.cjs files and in auditor.html, and their licences.\n\n${texts.join('\n')}`
}

/** The members of npm's bill of materials that are changed here. All others stay as they are. */
type Bom = {
  serialNumber: string
  metadata: {
    timestamp: string
    tools: { version?: string }[]
    component: { 'bom-ref': string; name: string; version: string; purl: string; properties: object[] }
  }
  components: { readonly 'bom-ref': string }[]
  dependencies: { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

/**
 * The bill of materials that npm makes of the lock file, reduced to the packages in the bundles. Its serial number is made from the commit, its time
 * is that of the commit, and the version of npm is left out. Otherwise each run would give another archive for the same commit.
 */
export function billOfMaterials(source: Source, components: readonly Component[]): string {
  const { commit, version, date, directory } = source
  // --omit=dev is not used, because npm then leaves out packages that a package for development needs as well.
  const options = ['--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only']
  const bom = JSON.parse(execFileSync('npm', ['sbom', ...options], { cwd: directory }).toString()) as Bom
  const { metadata } = bom
  const refs = new Set(components.map(({ name, version }) => `${name}@${version}`))
  const found = bom.components.filter((component) => refs.has(component['bom-ref']))
  if (found.length < refs.size) throw new Refusal('npm sbom does not name every package that is in a bundle')
  refs.add(metadata.component['bom-ref'])
  bom.serialNumber = `urn:uuid:${uuidOf(commit)}`
  metadata.timestamp = date.toISOString()
  for (const tool of metadata.tools) delete tool.version
  Object.assign(metadata.component, { name: 'civic-orchestrator', version })
  metadata.component.properties.push({ name: 'civic-orchestrator:commit', value: commit })
  bom.components = found
  bom.dependencies = bom.dependencies
    .filter(({ ref }) => refs.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((name) => refs.has(name)) }))
  return `${JSON.stringify(bom, null, 2)}\n`
}

/** The first 122 bits of the commit in the form of a UUID (RFC 9562, version 8, which is for custom forms). */
function uuidOf(commit: string): string {
  return commit.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-8$3-8$4-$5')
}
