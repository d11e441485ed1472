/** 2024-10-09T00:00:00Z in Unix seconds: where counting starts. */
const epochSeconds = 1_728_432_000

const wholeNumber = /^[0-9]{1,15}$/

/**
 * The `electric-cursor` of a live response. Clients send it back, so that within one interval all of them wait on
 * one URL, and the URL always changes after an answer. Always greater than `previous`.
 *
 * @param nowMillis Unix time
 * @param intervalSeconds the long-poll timeout in whole seconds; 0 makes every cursor 0
 * @param previous the request's `cursor`, if any
 * @param random uniform in [0, 1)
 */
export const nextCursor = (
  nowMillis: number,
  intervalSeconds: number,
  previous: string | undefined,
  random: number
): number => {
  if (intervalSeconds === 0) return 0
  const now = nowMillis / 1000 - epochSeconds
  const next = intervalSeconds * Math.ceil(now / intervalSeconds)
  const before = previous !== undefined && wholeNumber.test(previous) ? Number(previous) : 0
  return next > before ? next : before + 1 + Math.floor(random * 3600)
}
