/**
 * The port through which every room logs. Only a type, and at the top of src/ because the request path (http) and the stores
 * need the same one while neither may import the other; `server/log.ts` is what stands behind it.
 *
 * `fatal` asks for a person: a records file was refused.
 */
export type Log = Readonly<
  Record<'info' | 'warn' | 'error' | 'fatal', (fields: object, message: string) => void>
>
