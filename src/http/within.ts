/** The result of the work, or `late` when there is no result after `ms` milliseconds. The work itself goes on. */
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
