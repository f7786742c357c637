/** `node scripts/audit.mjs <command>`: runs the auditor's tool in a checkout, without npm's banner in its output. */
import { register } from 'tsx/esm/api'

register()
await import('./audit.ts')
