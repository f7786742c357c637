/**
 * Finds time stamps (RFC 3161) that lie beside the data. The page does not check them, because it would have to verify CMS
 * signatures and chains of certificates. It names the stamps, and shows the commands with which the tool checks them.
 */

export type UncheckedStamps = {
  /** The paths of the stamps, as they were opened. */
  readonly files: readonly string[]
  /** One command for each folder that holds stamps. */
  readonly commands: readonly string[]
}

/** `root` is the path of the data directory, with a slash at its end; undefined when there is none. */
export function uncheckedStamps(paths: readonly string[], root: string | undefined): UncheckedStamps {
  const files = paths.filter(isStamp).sort()
  const folders = [...new Set(files.map((path) => path.slice(0, path.lastIndexOf('/') + 1)))]
  const data = root === undefined ? 'DATA' : argument(root, 'DATA')
  const commands = folders.map(
    (folder) =>
      `node audit.cjs verify --data ${data} --stamps ${argument(folder, 'STAMPS')} --authority ROOT.pem`,
  )
  return { files, commands }
}

export const isStamp = (path: string): boolean => path.endsWith('.tsr')

/**
 * A name for a command that somebody will paste into a shell. A name that a shell could misread is left for the person to fill
 * in.
 */
function argument(folder: string, otherwise: string): string {
  const name = folder === '' ? '.' : folder.slice(0, -1)
  return /^[\w.][\w./-]*$/.test(name) ? name : otherwise
}
