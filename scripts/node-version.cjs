/**
 * Says which Node is needed before npm loads code that an older Node cannot read, which would end in a SyntaxError. npm runs this before
 * `npm start` and `npm test`. It is plain CommonJS, because this file itself has to run on an old Node.
 */
const needed = require('../package.json').engines.node.replace('>=', '')
const [major, minor] = needed.split('.').map(Number)
const here = process.versions.node.split('.').map(Number)

if (here[0] < major || (here[0] === major && here[1] < minor)) {
  console.error(`civic-orchestrator: needs Node ${needed} or later, this is ${here[0]}.${here[1]}`)
  process.exit(1)
}
