/** What the work gives; `late` when it has given nothing after `ms` milliseconds, and then it is not waited for. */
export function within<T>(ms: number, late: T, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms, late)
    const end = (settle: () => void): void => {
      clearTimeout(timer)
      settle()
    }
    work.then(
      (value) => end(() => resolve(value)),
      (error) => end(() => reject(error)),
    )
  })
}
