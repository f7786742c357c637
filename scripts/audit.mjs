/** `node scripts/audit.mjs <command>`: the auditor's tool in a checkout, without npm's banner in what it prints. */
import { register } from 'tsx/esm/api'

register()
await import('./audit.ts')
