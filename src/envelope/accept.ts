/** Turns a parsed envelope into the record that is stored, or into the list of everything that is wrong with the envelope. */
import { safeParse } from 'valibot'
import {
  attestation,
  type Contract,
  type Contracts,
  contractNamed,
  type FieldError,
  type Json,
  type JsonObject,
  unhashedNames,
  versionsOf,
} from '../../contracts/contract.ts'
import { instant, mustBe } from '../../contracts/envelope.ts'
import type { AcceptedRecord, Member } from '../../contracts/record.ts'
import { bounded, pointer } from './violations.ts'

export type AcceptContext = {
  /** SHA-256 of the presented token, 64 lower-case hex digits. */
  readonly tokenSha256: string
  readonly now: Date
}

export type Acceptance =
  | {
      readonly ok: true
      readonly record: AcceptedRecord
      readonly warnings: readonly FieldError[]
      /** The age of the envelope by its `submitted_at`; negative when that time is in the future. */
      readonly agoMs: number
    }
  | { readonly ok: false; readonly errors: readonly FieldError[] }

const dayInMs = 24 * 60 * 60 * 1000

/** `found`: violations that only the JSON text shows (`intake.ts`): numbers that would change, and the key `__proto__`. */
export function accept(
  sent: JsonObject,
  found: readonly FieldError[],
  context: AcceptContext,
  contracts: Contracts,
): Acceptance {
  const contract = contractFor(sent, contracts)
  const own = contract
    ? violations(contract, sent, context).map(namingAllVersions(contract, contracts))
    : [unknownAddon(sent, contracts)]
  if (!contract || own.length > 0 || found.length > 0) {
    return { ok: false, errors: bounded([...own, ...found]) }
  }
  const agoMs = context.now.getTime() - instant(String(sent.submitted_at))
  const normalised = contract.normalise?.(sent) ?? { members: {}, warnings: [] }
  const unnamed = Object.keys(sent).filter((name) => !Object.hasOwn(contract.envelope.entries, name))
  return {
    ok: true,
    record: {
      addon: contract.addon,
      association_slug: String(sent.association_slug),
      participant_id: String(sent.participant_id),
      storage: contract.storage,
      members: [
        ...named(contract, sent, normalised.members),
        ...unnamed.map((name): Member => [name, sent[name]!]),
      ],
      unhashed: unhashedNames(contract).map((name): Member => [name, context.tokenSha256]),
    },
    warnings: bounded([...normalised.warnings, ...clockWarning(agoMs), ...unnamed.map(unnamedWarning)]),
    agoMs,
  }
}

/** The contract that the envelope names. If its version is not known, the newest contract judges the rest of the envelope. */
function contractFor(sent: JsonObject, contracts: Contracts): Contract | undefined {
  return (
    contractNamed(contracts, sent.addon, sent.contract_version) ?? versionsOf(contracts, sent.addon)?.at(-1)
  )
}

/** A contract's own sentence names one version. The sender of an unknown version is told every version that is accepted. */
function namingAllVersions({ addon, version }: Contract, contracts: Contracts) {
  const all = mustBe(versionsOf(contracts, addon)!.map((contract) => contract.version))
  return (error: FieldError): FieldError =>
    error.pointer === '/contract_version'
      ? { ...error, detail: error.detail.replace(mustBe([version]), () => all) }
      : error
}

function unknownAddon(sent: JsonObject, contracts: Contracts): FieldError {
  const rule = mustBe([...contracts.keys()])
  if (sent.addon === undefined) return { pointer: '/addon', detail: `is missing; it ${rule}` }
  if (sent.addon !== 'g1wallet') return { pointer: '/addon', detail: rule }
  return {
    pointer: '/addon',
    detail: `${rule}; the wallet addon shares the node token but has no record type, so nothing of it is stored here`,
  }
}

function violations(contract: Contract, sent: JsonObject, context: AcceptContext): FieldError[] {
  // a pipe stops at its first issue, so that the same sentence is not reported twice for one member
  const { issues = [] } = safeParse(contract.envelope, sent, { abortPipeEarly: true })
  const errors = issues.map(({ path = [], message }) => ({
    pointer: pointer(path.map((step) => String(step.key))),
    detail: message,
  }))
  if (contract.attestsToken && errors.every((error) => error.pointer !== `/${attestation}`)) {
    errors.push(...attestationViolation(sent, context))
  }
  return errors
}

function attestationViolation(sent: JsonObject, context: AcceptContext): FieldError[] {
  const attested = sent[attestation]
  if (attested === undefined || String(attested).toLowerCase() === context.tokenSha256) return []
  return [
    {
      pointer: `/${attestation}`,
      detail: 'must be the SHA-256 of the node token that came with this request, or be left out',
    },
  ]
}

function named(contract: Contract, sent: JsonObject, normalised: Readonly<Record<string, Json>>): Member[] {
  const members: Member[] = []
  for (const name in contract.envelope.entries) {
    if (unhashedNames(contract).includes(name)) continue
    const from = Object.hasOwn(normalised, name) ? normalised : sent
    if (Object.hasOwn(from, name)) members.push([name, from[name]!])
  }
  return members
}

function clockWarning(agoMs: number): FieldError[] {
  if (Math.abs(agoMs) <= dayInMs) return []
  return [
    {
      pointer: '/submitted_at',
      detail: 'is more than 24 hours from the clock of the receiver; stored as sent',
    },
  ]
}

function unnamedWarning(name: string): FieldError {
  return { pointer: pointer([name]), detail: 'is not named by the contract; stored as sent' }
}
