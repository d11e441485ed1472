import { Data } from "effect"

/**
 * The environment cannot be used. Every bad variable is named, not only the first: what it was set to (unless that may
 * be secret) and what it accepts. Heals only by changing the environment.
 */
export class ConfigError extends Data.TaggedError("ConfigError")<{
  readonly problems: ReadonlyArray<string>
}> {
  override get message(): string {
    return `The configuration cannot be used:\n${this.problems.map((problem) => `  ${problem}`).join("\n")}`
  }
}
