import { Effect } from "effect"
import { verifyRunning } from "../../src/command/running/VerifyRunning.ts"
import type { VerifyReport } from "../../src/registry/verify/VerifyReport.ts"

/** Has a service compare its shapes with the database, as `baton verify` does: the exit status, and the report if there is one. */
export const verifyShapes = async (
  url: string,
  query: Readonly<Record<string, string>> = {}
): Promise<{ readonly status: number; readonly report: VerifyReport; readonly text: string }> => {
  let text = ""
  const say = (more: string) => (text += more)
  const status = await Effect.runPromise(
    verifyRunning({
      query: { rate: "1000000", ...query },
      url,
      secret: undefined,
      json: true,
      stop: false,
      isTerminal: false,
      environment: {},
      paint: (_, plain) => plain,
      width: 200,
      say,
      complain: say
    })
  )
  if (!text.startsWith("{")) throw new Error(`No comparison at ${url}, status ${status}: ${text}`)
  return { status, report: JSON.parse(text) as VerifyReport, text }
}

/** What differs, as text; undefined where nothing does. */
export const foundDifferences = async (url: string): Promise<string | undefined> => {
  const { status, text } = await verifyShapes(url)
  return status === 0 ? undefined : `baton verify has found, with status ${status}: ${text}`
}

/** Fails with what differs. A shape that could not be compared counts unless it has changes only. */
export const expectNothingDiffers = async (url: string): Promise<VerifyReport> => {
  const { report, status, text } = await verifyShapes(url)
  const left = report.skipped.filter(({ reason }) => !reason.includes("changes only"))
  if (status !== 0 || left.length > 0) throw new Error(`Status ${status} of the comparison: ${text}`)
  return report
}
