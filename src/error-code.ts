/**
 * Whether an error of the operating system has one of these codes, such as `ENOENT`. This file is at the top of src/ because every room that
 * reads files uses it. The page uses it as well, because the files in a browser have errors with the same codes.
 */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' && codes.includes(code)
}
