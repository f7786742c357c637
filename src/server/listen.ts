/**
 * Opens the sockets on which the receiver listens: those that systemd hands over (sd_listen_fds(3)); if there are none, the
 * unix socket of SOCKET, the address of HOST and PORT, or both.
 *
 * Why a unix socket on one host: any local user can take a TCP port while nobody listens on it, read the token of the next
 * post, and answer that the post was stored. Nobody else can do that in a directory that belongs to root or to the receiver.
 *
 * Invariants of the unix socket
 *   1. Only root and the receiver's user can put another socket in its place. The directory and all directories above are checked, and
 *      a directory that others can write to is refused.
 *   2. The socket accepts connections and has the mode 0660 from the moment its name exists, because it is made under another name.
 *   3. A socket on which a process listens is never removed; a socket that a killed process has left is replaced.
 *   4. A file that is no socket is never removed. At the end the receiver removes its own socket, and no other.
 */

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  linkSync,
  lstatSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type ListenOptions, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { hasCode } from '../error-code.ts'
import { writableByOthers } from '../records/layout.ts'
import type { Config } from './config.ts'

/** The first descriptor that systemd hands over. */
const firstHanded = 3

/** Why SOCKET cannot be used, for the person who set it. */
export class SocketRefusal extends Error {
  override readonly name = 'SocketRefusal'
}

type ListenTarget = ListenOptions | { readonly fd: number } | { readonly socket: string }

/** A place where the receiver listens, for the log and for the command that is shown to a newcomer. */
export type ListenPlace = { readonly socket: string } | { readonly address: string; readonly port: number }

export type Listening = {
  readonly places: readonly ListenPlace[]
  /** Removes the unix socket and stops accepting on all targets but the first. Resolves when their connections have ended. */
  close(): Promise<void>
}

export function targetsOf(
  { socket, tcp }: Config,
  env: NodeJS.ProcessEnv,
  pid: number,
): readonly ListenTarget[] {
  const handed = env.LISTEN_PID === String(pid) ? Number(env.LISTEN_FDS) : 0
  if (handed > 0) return Array.from({ length: handed }, (_, n) => ({ fd: firstHanded + n }))
  return [...(socket === undefined ? [] : [{ socket }]), ...(tcp === undefined ? [] : [tcp])]
}

/**
 * The HTTP server itself listens on the first target. Each other target gets a listener that hands its connections over to the HTTP
 * server, where they are counted with the others (`connections.ts`).
 */
export async function listen(server: HttpServer, targets: readonly ListenTarget[]): Promise<Listening> {
  const places: ListenPlace[] = []
  const others: Server[] = []
  let remove = (): void => {}
  for (const target of targets) {
    const listener = target === targets[0] ? server : another(server)
    if (listener !== server) others.push(listener)
    if ('socket' in target) remove = await listenAt(listener, target.socket)
    else await opened(listener, target)
    places.push('socket' in target ? target : placeOf(listener.address()))
  }
  return {
    places,
    async close() {
      remove()
      await Promise.all(others.map((other) => new Promise((resolve) => other.close(resolve))))
    },
  }
}

function another(server: HttpServer): Server {
  // the same options as the HTTP server has
  const listener = createServer({ allowHalfOpen: true, noDelay: true })
  return listener.on('connection', (socket) => server.emit('connection', socket))
}

async function opened(listener: Server, target: ListenOptions | { readonly fd: number }): Promise<void> {
  listener.listen(target)
  await once(listener, 'listening')
}

/** The place of a bound socket. Node gives no address for a unix socket that systemd handed over. */
function placeOf(bound: AddressInfo | string | null): ListenPlace {
  if (bound === null || typeof bound === 'string') return { socket: bound || 'unix' }
  return { address: bound.address, port: bound.port }
}

/** Listens on a unix socket. Gives the function that removes it again. */
async function listenAt(listener: Server, named: string): Promise<() => void> {
  const directory = trustedDirectory(dirname(named))
  const path = join(directory, basename(named))
  const made = anotherName(path)
  await opened(listener, { path: made })
  try {
    chmodSync(made, 0o660)
    const own = lstatSync(made)
    await putInPlace(made, path)
    return () => {
      if (isSame(statusOf(path), own)) rmSync(path, { force: true })
    }
  } catch (error) {
    listener.close()
    throw error
  } finally {
    rmSync(made, { force: true })
  }
}

async function putInPlace(made: string, path: string): Promise<void> {
  if (linked(made, path)) return
  if (!statusOf(path)?.isSocket())
    throw new SocketRefusal('SOCKET names something that is no socket; it is left alone')
  if (await answers(path)) throw taken()
  // another start may have replaced the dead socket since, so the socket is moved aside first and tried again there
  const aside = anotherName(path)
  renameSync(path, aside)
  if (await answers(aside)) {
    linked(aside, path)
    rmSync(aside)
    throw taken()
  }
  rmSync(aside)
  if (!linked(made, path)) throw taken()
}

/** A random name, because a receiver in another container may have the same process number. */
function anotherName(path: string): string {
  return `${path}.${randomBytes(4).toString('hex')}`
}

function taken(): SocketRefusal {
  return new SocketRefusal('SOCKET names a socket on which another process listens; end that process first')
}

/** Gives a socket its name by a hard link, which never replaces a file. False when the name is taken. */
function linked(made: string, path: string): boolean {
  try {
    linkSync(made, path)
    return true
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    return false
  }
}

/** Whether a process listens on the socket. Only ECONNREFUSED says that nobody does; a full queue, for example, has a listener. */
async function answers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    return !hasCode(error, 'ECONNREFUSED')
  } finally {
    socket.destroy()
  }
}

/** The real path of the directory. Throws when somebody besides root and this user can replace a directory on the way to it. */
function trustedDirectory(named: string): string {
  const directory = realpathSync(named)
  for (let at = directory; ; at = dirname(at)) {
    const { mode, uid } = statSync(at)
    const isOthers = (mode & writableByOthers) !== 0
    // in a sticky directory such as /tmp others cannot replace foreign files, but they can be the first to take a name
    const isSticky = (mode & 0o1000) !== 0 && at !== directory
    if ((uid !== 0 && uid !== process.getuid?.()) || (isOthers && !isSticky)) throw untrusted
    if (at === dirname(at)) return directory
  }
}

const untrusted = new SocketRefusal(
  'SOCKET is in a directory, or below one, that other users can write to or own: they could put a socket of theirs in its ' +
    'place and be sent the token. Use a directory of root or of the user of this service, without write permission for others',
)

function statusOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

function isSame(one: Stats | undefined, other: Stats): boolean {
  return one !== undefined && one.dev === other.dev && one.ino === other.ino
}
