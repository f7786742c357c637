/**
 * Runs scenarios with the real storage modules while strace records its calls (`system-calls.ts`). It prints when each scenario begins and when a
 * post was answered. The trace shows the place of these lines among the system calls.
 */
import { readFileSync, writeSync } from 'node:fs'
import type { Scenario } from './crash-model.ts'
import { post, storeOn } from './stored.ts'

const say = (words: object): void => {
  writeSync(1, `${JSON.stringify(words)}\n`)
}

async function play(scenarios: readonly Scenario[]): Promise<void> {
  for (const [scenario, { root, steps }] of scenarios.entries()) {
    const store = storeOn(root)
    say({ begin: scenario })
    let number = 0
    for (const step of steps) {
      const posts = step.map(async (sent) => {
        const at = number++
        const outcome = await post(store, sent)
        say({ post: at, outcome })
      })
      await Promise.all(posts)
    }
    await store.close()
    say({ end: scenario })
  }
}

void play(JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as Scenario[])
