/** Calls between the page and its workers: a name and arguments go out, a value or the words of an error come back. */

/** A worker, the inside of a worker, or one end of a channel. */
export type CallPort = Pick<MessagePort, 'postMessage'> & {
  onmessage: ((event: MessageEvent) => void) | null
}

// biome-ignore lint/suspicious/noExplicitAny: what each call takes and gives is in the type of the calls
export type Calls = Record<string, (...args: any[]) => unknown>

type Asked = { readonly id: number; readonly call: string; readonly args: readonly unknown[] }
type Answered = { readonly id: number; readonly value?: unknown; readonly error?: string }
type Notice = { readonly told: unknown }

/**
 * Answers calls in the order of their arrival; several may be under way at once. `tell` sends messages such as progress,
 * without a call.
 */
export function serve(line: CallPort, calls: Calls): void {
  line.onmessage = async ({ data }: MessageEvent<Asked>) => {
    const { id, call, args } = data
    try {
      const value = await calls[call]?.(...args)
      line.postMessage({ id, value } satisfies Answered)
    } catch (error) {
      line.postMessage({ id, error: (error as Error).message } satisfies Answered)
    }
  }
}

export const tell = (line: CallPort, told: unknown): void => line.postMessage({ told } satisfies Notice)

export type Remote<C extends Calls> = {
  readonly [Name in keyof C]: (...args: Parameters<C[Name]>) => Promise<Awaited<ReturnType<C[Name]>>>
}

type PendingCall = { resolve(value: unknown): void; reject(error: Error): void }

/** Makes calls to the other end. Arguments that are message ports are transferred, not copied. */
export function remote<C extends Calls>(line: CallPort, told: (told: unknown) => void = () => {}): Remote<C> {
  const waiting = new Map<number, PendingCall>()
  let last = 0
  line.onmessage = ({ data }: MessageEvent<Answered | Notice>) => {
    if ('told' in data) return told(data.told)
    const asked = waiting.get(data.id)
    waiting.delete(data.id)
    if (data.error === undefined) asked?.resolve(data.value)
    else asked?.reject(new Error(data.error))
  }
  const call = (name: string, args: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      const ports = args.flat().filter((arg): arg is MessagePort => arg instanceof MessagePort)
      line.postMessage({ id, call: name, args } satisfies Asked, ports)
    })
  return new Proxy({} as Remote<C>, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        call(String(name), args),
  })
}
