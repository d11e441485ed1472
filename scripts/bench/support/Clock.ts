/** Milliseconds of the machine's monotonic clock: comparable between processes, in fractions down to microseconds. */
export const nowMillis = (): number => Number(process.hrtime.bigint()) / 1e6

export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Asks `probe` every `everyMillis` until it gives something; fails with `what` after `deadlineMillis`. */
export const eventually = async <A>(
  what: string,
  deadlineMillis: number,
  everyMillis: number,
  probe: () => Promise<A | undefined> | A | undefined
): Promise<A> => {
  const deadline = nowMillis() + deadlineMillis
  for (;;) {
    const found = await probe()
    if (found !== undefined) return found
    if (nowMillis() > deadline) throw new Error(`Waited ${deadlineMillis} ms in vain for ${what}.`)
    await sleep(everyMillis)
  }
}
