/** What a contract is: data about one addon's envelope, and the words that http and storage share about a record. */
import type { GenericSchema } from 'valibot'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** A parsed JSON object. Made by `JSON.parse`, so `constructor` or `toString` may be own keys: use `Object.hasOwn`. */
export type JsonObject = { readonly [key: string]: Json }

/** Whether the value holds no other values. */
export function isScalar(value: Json): value is null | boolean | number | string {
  return typeof value !== 'object' || value === null
}

/** `pointer` names a place in the sent document (RFC 6901); `detail` says what to change there and never repeats a sent value. */
export type FieldError = { readonly pointer: string; readonly detail: string }

export type StorageRule = 'overwrite-by-placekey' | 'append-only'

/** One addon's envelope at one version. A later version of the same addon is a new contract beside the older one. */
export type Contract = {
  readonly addon: string
  readonly version: string
  readonly storage: StorageRule
  /**
   * The schema that judges the envelope **as sent**. The output of valibot is not used, because valibot leaves out keys such as
   * `constructor`. The order of the schema's entries is the order in which named members are stored.
   */
  readonly envelope: GenericSchema & { readonly entries: Readonly<Record<string, GenericSchema>> }
  /** Whether the record carries `node_token_hash`, the SHA-256 of the presented token. A hash that was sent must agree with it. */
  readonly attestsToken: boolean
  /**
   * Turns named members of a valid envelope into what is stored (SPEC 3, "Normalisation, the whole list").
   * A member that the result does not name is stored with the value that was sent.
   */
  readonly normalise?: (envelope: JsonObject) => Normalised
}

export type Normalised = {
  /** Members that replace sent ones or are added, by name. The contract's order decides where they are written. */
  readonly members: Readonly<Record<string, Json>>
  readonly warnings: readonly FieldError[]
}

/** All contracts by addon, the newest version last. A `Map`, so that "__proto__" finds nothing. */
export type Contracts = ReadonlyMap<string, readonly Contract[]>

/** The name of the member that holds the SHA-256 of the presented token, in records whose contract attests the token. */
export const attestation = 'node_token_hash'

/** The contract with this name and version; undefined when there is none. Both arguments may be any value that was sent. */
export function contractNamed(contracts: Contracts, addon: unknown, version: unknown): Contract | undefined {
  return versionsOf(contracts, addon)?.find((contract) => contract.version === version)
}

export function versionsOf(contracts: Contracts, addon: unknown): readonly Contract[] | undefined {
  return typeof addon === 'string' ? contracts.get(addon) : undefined
}

/**
 * The members of a record that are not part of its id (SPEC 4), besides `receipt`. All code that writes or checks an id asks
 * this function, because two copies of the rule once differed, and a restart then cut off an acknowledged record.
 */
export function unhashedNames({ attestsToken }: Contract): readonly string[] {
  return attestsToken ? [attestation] : []
}

/** Such as `scn01-1.0`: the name of a contract's schema file and of its vectors file, without the ending. */
export function fileNameOf({ addon, version }: Contract): string {
  return `${addon}-${version}`
}
