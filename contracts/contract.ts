/** What a contract is: data about one addon's envelope, and the words that http and storage share about a record. */
import type { GenericSchema } from 'valibot'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** A parsed JSON object. Made by `JSON.parse`, so `constructor` or `toString` may be own keys: use `Object.hasOwn`. */
export type JsonObject = { readonly [key: string]: Json }

/** A place in the sent document (RFC 6901) and, in plain words, what to change there. Never a value that was sent. */
export type FieldError = { readonly pointer: string; readonly detail: string }

export type StorageRule = 'overwrite-by-placekey' | 'append-only'

/** One addon's envelope at one version. `<addon> <version>` is its name; a later version is a new contract beside it. */
export type Contract = {
  readonly addon: string
  readonly version: string
  readonly storage: StorageRule
  /**
   * Judges the envelope **as sent**. Its output is not used: valibot leaves out keys such as `constructor`.
   * The order of its entries is the order in which named members are stored.
   */
  readonly envelope: GenericSchema & { readonly entries: Readonly<Record<string, GenericSchema>> }
  /** The record carries `node_token_hash`, the SHA-256 of the presented token; a sent one must agree with it. */
  readonly attestsToken: boolean
  /**
   * Turns named members of a valid envelope into what is stored (SPEC 3, "Normalisation, the whole list").
   * A member it does not mention is stored with the value that was sent.
   */
  readonly normalise?: (envelope: JsonObject) => Normalised
}

export type Normalised = {
  /** Replacement or additional members by name, in the place the contract's order gives them. */
  readonly members: Readonly<Record<string, Json>>
  readonly warnings: readonly FieldError[]
}

/** All contracts by addon, the newest version last. A `Map`, so that "__proto__" finds nothing. */
export type Contracts = ReadonlyMap<string, readonly Contract[]>

/** Where the SHA-256 of the presented token stands in a record whose contract attests it. */
export const attestation = 'node_token_hash'

/** The contract with this name and version; undefined when there is none. What is asked for may be any sent value. */
export function contractNamed(contracts: Contracts, addon: unknown, version: unknown): Contract | undefined {
  return versionsOf(contracts, addon)?.find((contract) => contract.version === version)
}

export function versionsOf(contracts: Contracts, addon: unknown): readonly Contract[] | undefined {
  return typeof addon === 'string' ? contracts.get(addon) : undefined
}

/**
 * The members of a record that are not part of its id (SPEC 4), besides `receipt`. Whoever writes or checks an id asks here:
 * two copies of this rule once cut off an acknowledged record.
 */
export function unhashedNames({ attestsToken }: Contract): readonly string[] {
  return attestsToken ? [attestation] : []
}

/** `scn01-1.0`: what the files of a contract are named by, its schema and its vectors. */
export function fileNameOf({ addon, version }: Contract): string {
  return `${addon}-${version}`
}
