import { Effect, Logger, Result } from "effect"
import type { BatonConfig } from "../../config/BatonConfig.ts"
import { fileProblems } from "../../config/CheckFiles.ts"
import { parseConfig } from "../../config/ParseConfig.ts"
import { batonVersion } from "../../shared/ServerIdentity.ts"
import type { Paint } from "../Terminal.ts"
import { type Examination, examine } from "./Examination.ts"
import { problem } from "./Finding.ts"
import { gatherFacts } from "./GatherFacts.ts"
import { printExamination } from "./PrintExamination.ts"

interface DoctorOptions {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly json: boolean
  /** Storage and the bucket are tried by writing to them. */
  readonly write: boolean
  readonly paint: Paint
  readonly say: (text: string) => void
}

/**
 * `baton doctor`: looks at everything that the service would use, as the service would, and says what is wrong and what a start
 * would do. Changes nothing in the database; in storage and the bucket only with `write`. Gives the exit status.
 */
export const doctor = ({ environment, json, paint, say, write }: DoctorOptions): Effect.Effect<number> =>
  Effect.map(examination(environment, write), ({ examined, title }) => {
    say(json ? `${JSON.stringify(examined)}\n` : printExamination(examined, title, paint))
    return examined.status
  }).pipe(Effect.provide(Logger.layer([])))

interface Titled {
  readonly examined: Examination
  readonly title: string
}

const name = `Baton ${batonVersion}`

const examination = (environment: DoctorOptions["environment"], write: boolean): Effect.Effect<Titled> => {
  const parsed = parseConfig(environment)
  if (Result.isFailure(parsed)) return Effect.succeed(impossible(parsed.failure.message))
  if (parsed.success._tag !== "Complete")
    return Effect.succeed(
      impossible("DATABASE_URL is not set: run this with the variables of the service.", "DATABASE_URL")
    )
  const { config, warnings } = parsed.success
  const files = fileProblems(config)
  if (files.length > 0) return Effect.succeed(impossible(files.join("\n")))
  return Effect.map(gatherFacts(config, warnings, write), (facts) => ({
    examined: examine(facts),
    title: `${name} looks at ${targetOf(config)}, slot ${config.slotName}.`
  }))
}

const targetOf = ({ database: { database, host, port, username } }: BatonConfig): string =>
  `postgres://${username}@${host}:${port}/${database}`

const impossible = (text: string, fix?: string): Titled => ({
  title: `${name} has nothing to look at.`,
  examined: { status: 2, findings: [problem("configuration", "BATON-CONFIG-INVALID", text, fix)], start: [] }
})
