/**
 * Tests a bundled server on a scratch directory before it is put into service. Every vector is posted and must get its verdict, the stored
 * records are read back, and SIGTERM must end the server with 0.
 *
 *   node self-test.cjs [DIRECTORY OF A RELEASE]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The token with which the vectors were made (contracts/vectors/README.md). */
const token = 'civic-orchestrator-test-vectors-token'
const longestStartMs = 15_000
const senders = 16

type Vector = {
  readonly name: string
  readonly envelope?: unknown
  readonly body?: string
  readonly verdict: 'accepted' | 'refused'
  readonly status?: number
}
type VectorReceipt = {
  readonly addon: string
  readonly association_slug: string
  readonly participant_id: string
}

/** Tests a server and gives its faults. `server` is the command that starts it, `vectors` the directory of the contracts' vectors. */
export async function selfTest(
  server: readonly string[],
  vectors: string,
): Promise<{ tried: number; wrong: string[] }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'civic-self-test-'))
  const [program, ...args] = server as [string, ...string[]]
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, DATA_DIR: dataDir, NODE_TOKEN: token, PORT: '0', MIN_FREE_BYTES: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  try {
    const url = await Promise.race([
      listening(child.stdout),
      ended.then(([code, signal]) => Promise.reject(new Error(`the server ended (${code ?? signal})`))),
      new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error('the server did not start in time')), longestStartMs).unref()
      }),
    ])
    const cases = readdirSync(vectors)
      .filter((name) => name.endsWith('.json'))
      .flatMap((name) => JSON.parse(readFileSync(join(vectors, name), 'utf8')) as Vector[])
    const wrong: string[] = []
    const left = cases.values()
    const sender = async (): Promise<void> => {
      for (const vector of left) {
        const complaint = await tried(vector, url, dataDir)
        if (complaint) wrong.push(`${vector.name}: ${complaint}`)
      }
    }
    await Promise.all(Array.from({ length: senders }, sender))
    child.kill('SIGTERM')
    const [code] = await ended
    if (code !== 0) wrong.push(`SIGTERM ended it with ${code} instead of 0`)
    return { tried: cases.length, wrong }
  } finally {
    child.kill('SIGKILL')
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function listening(stdout: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve) => {
    let output = ''
    stdout.on('data', (chunk: Buffer) => {
      output += chunk
      const port = /"port":(\d+),"msg":"listening"/.exec(output)?.[1]
      if (port) resolve(`http://127.0.0.1:${port}`)
    })
  })
}

async function tried(vector: Vector, url: string, dataDir: string): Promise<string | undefined> {
  const response = await fetch(`${url}/receive`, {
    method: 'POST',
    headers: { 'x-node-token': token },
    body: vector.body ?? JSON.stringify(vector.envelope),
  })
  const answer = (await response.json()) as VectorReceipt
  if (vector.verdict === 'refused') {
    return response.status === vector.status ? undefined : `${response.status} instead of ${vector.status}`
  }
  if (!response.ok) return `${response.status} instead of a receipt`
  const { addon, association_slug, participant_id } = answer
  const names = ['records.json', `${participant_id}.json`]
  const stored = names.some((name) => existsSync(join(dataDir, addon, association_slug, name)))
  return stored ? undefined : 'a receipt, and no file'
}

async function main(release: string): Promise<void> {
  const { tried, wrong } = await selfTest(
    [process.execPath, join(release, 'server.cjs')],
    join(release, 'contracts/vectors'),
  )
  for (const line of wrong) console.error(`self-test: ${line}`)
  console.log(`self-test: ${tried} envelopes, ${wrong.length} with another verdict than the contract's`)
  process.exitCode = wrong.length > 0 || tried === 0 ? 1 : 0
}

// A test imports this file, so only the bundled tool runs by itself.
if (process.argv[1]?.endsWith('self-test.cjs')) {
  main(process.argv[2] ?? '.').catch((error: Error) => {
    console.error(`self-test: ${error.message}`)
    process.exitCode = 1
  })
}
