import { tellConfigAdvice } from "./ConfigAdvice.ts"
import { Effect, Layer } from "effect"
import { Config } from "./BatonConfig.ts"
import { fileProblems } from "./CheckFiles.ts"
import { ConfigError } from "./ConfigError.ts"
import type { Environment } from "./EnvironmentReader.ts"
import { type CompleteConfig, type HostFacts, parseConfig } from "./ParseConfig.ts"

/**
 * The configuration of a service that is part of another program, and what is to be said about it. There is no development
 * database here, so `DATABASE_URL` is needed. Fails with everything that is wrong at once.
 */
export const readConfiguration = (
  environment: Environment,
  host: HostFacts
): Effect.Effect<CompleteConfig, ConfigError> =>
  Effect.flatMap(Effect.fromResult(parseConfig(environment, undefined, host)), (parsed) => {
    const problems =
      parsed._tag === "NeedsDatabase" ? ["DATABASE_URL is not set"] : fileProblems(parsed.config)
    return parsed._tag === "NeedsDatabase" || problems.length > 0
      ? Effect.fail(new ConfigError({ problems }))
      : Effect.succeed(parsed)
  })

/**
 * The configuration of a service that is part of another program: the variables of `docs/configuration.md`, from the
 * environment or from `environment`. Fails with everything that is wrong at once; warnings are logged. Say `guarded` when
 * an `authorize` hook, or a server in front of the API, decides who may ask: then `ELECTRIC_INSECURE=true` is nothing to
 * warn about.
 */
export const configFromEnvironment = (
  environment: Environment = process.env,
  host: HostFacts = { guarded: false }
): Layer.Layer<Config, ConfigError> =>
  Layer.effect(
    Config,
    Effect.gen(function* () {
      const { config, warnings } = yield* readConfiguration(environment, host)
      yield* tellConfigAdvice(warnings)
      return config
    })
  )
