import { Effect, Layer } from "effect"
import { Config } from "./BatonConfig.ts"
import { ConfigError } from "./ConfigError.ts"
import type { Environment } from "./EnvironmentReader.ts"
import { parseConfig } from "./parseConfig.ts"

/**
 * The configuration of a service that is part of another program: the variables of `docs/configuration.md`, from the
 * environment or from `environment`. There is no development database here, so `DATABASE_URL` is needed. Fails with
 * everything that is wrong at once; warnings are logged.
 */
export const configFromEnvironment = (
  environment: Environment = process.env
): Layer.Layer<Config, ConfigError> =>
  Layer.effect(
    Config,
    Effect.gen(function* () {
      const parsed = yield* Effect.fromResult(parseConfig(environment))
      if (parsed._tag === "NeedsDatabase") {
        return yield* new ConfigError({ problems: ["DATABASE_URL is not set"] })
      }
      for (const warning of parsed.warnings) yield* Effect.logWarning(warning)
      return parsed.config
    })
  )
