import { reportFault } from "../../telemetry/faults/ReportFault.ts"
import { Effect, Result } from "effect"
import { explainedPgError } from "../errors/ClassifyPgError.ts"
import type { PgError } from "../errors/PgError.ts"
import { createPublicationSql, letCreate } from "../RoleSql.ts"
import { readServerInfo, serverAdvice, type ServerInfo, serverProblem } from "../ServerInfo.ts"
import { completePublication, createPublication } from "./AlterPublication.ts"
import type { PublicationError } from "./PublicationError.ts"
import { publicationProblem } from "./PublicationPlan.ts"
import type { PublicationTables } from "./PublicationTables.ts"

/** What `ensureExists` found and did. */
export interface EnsuredPublication {
  /** It was made just now. A slot that is older cannot be streamed with it and has to be made anew. */
  readonly created: boolean
  /** It did not carry everything until now: changes may be missing from the stream, shapes from before are stale. */
  readonly repaired: boolean
}

const asItIs: EnsuredPublication = { created: false, repaired: false }

/** See `Publication.ensureExists`. */
export const makeEnsureExists = (tables: PublicationTables): Effect.Effect<EnsuredPublication, PgError> => {
  const { mode, pool } = tables
  const { publicationName } = mode
  /** The release that was spoken of in the log: it is told once, not with every turn. */
  let advisedOn: string | undefined

  /** False when somebody else made it just now. */
  const create = (server: ServerInfo): Effect.Effect<boolean, PgError> =>
    Effect.gen(function* () {
      const created = yield* Effect.result(createPublication(pool, publicationName, server.versionNum))
      if (Result.isSuccess(created)) return true
      const error = created.failure
      if (error.kind === "permission_denied") return yield* mayNotCreate(publicationName, server)
      return error.code === "42710" || error.code === "23505" ? false : yield* error
    })

  return Effect.gen(function* () {
    tables.ledger.forget()
    const [server, found] = yield* Effect.all([readServerInfo(pool), tables.read], { concurrency: 2 })
    const unfit = serverProblem(server, { createsNothing: mode.manual && found !== undefined })
    if (unfit !== undefined) return yield* unfit
    if (advisedOn !== server.version) {
      advisedOn = server.version
      for (const advice of serverAdvice(server)) yield* reportFault("BATON-DB-ADVICE", advice)
    }
    if (found === undefined && (yield* create(server))) return { created: true, repaired: false }
    const publication = found ?? (yield* tables.read)
    const problem = publicationProblem(publication, mode)
    if (publication === undefined) return yield* notUsable(problem)
    if (problem === undefined && publication.generatedColumns !== "none") return asItIs
    if (tables.mayAlter(publication)) {
      yield* completePublication(pool, publicationName, publication.serverVersionNum)
      return { created: false, repaired: true }
    }
    return problem === undefined ? asItIs : yield* notUsable(problem)
  })
}

const mayNotCreate = (name: string, { database, role, versionNum }: ServerInfo): PgError =>
  explainedPgError(
    "config_error",
    `Publication "${name}" not found in the database, and the role "${role}" may not create it. Run ` +
      `${letCreate(database, role)} Or create it, if you publish tables yourself: ` +
      createPublicationSql(name, versionNum >= 180000)
  )

const notUsable = (problem: PublicationError | undefined): PgError =>
  explainedPgError("config_error", problem?.message ?? "The publication cannot be used")
