/**
 * Time stamps (RFC 3161) that lie beside the data. The page does not check them: for that it would have to verify CMS
 * signatures and chains of certificates. It names them, and gives the commands with which the tool checks them.
 */

export type UncheckedStamps = {
  /** Paths, as they were opened. */
  readonly files: readonly string[]
  /** One for each folder that holds stamps. */
  readonly commands: readonly string[]
}

/** `root`: the path of the data directory, with a slash at its end; undefined when none was found. */
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

/** Somebody will paste it into a shell, so a name that a shell could take for more than a name is left for that person to put in. */
function argument(folder: string, otherwise: string): string {
  const name = folder === '' ? '.' : folder.slice(0, -1)
  return /^[\w.][\w./-]*$/.test(name) ? name : otherwise
}
