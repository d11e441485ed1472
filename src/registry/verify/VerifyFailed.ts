import { Data } from "effect"

/** Shapes could not be compared with the database, for a reason that is no error of Postgres. */
export class VerifyFailed extends Data.TaggedError("VerifyFailed")<{ readonly message: string }> {}
