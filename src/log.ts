/**
 * The port through which every room logs. The file holds only a type. It is at the top of src/ because the request path (http) and the stores
 * need the same type, and neither may import the other. `server/log.ts` implements it.
 *
 * `fatal` asks for a person: a records file was refused.
 */
export type Log = Readonly<
  Record<'info' | 'warn' | 'error' | 'fatal', (fields: object, message: string) => void>
>
