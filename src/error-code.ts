/**
 * The code that an error of the operating system carries, such as `ENOENT`. At the top of src/ because every room that reads
 * files asks for it, the page in a browser too, whose files carry the same codes.
 */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' && codes.includes(code)
}
