import { Effect } from "effect"

/** Where a running service is, and what lets one in. */
export interface Service {
  /** Base URL, without a slash at its end. */
  readonly url: string
  readonly secret: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

/** What is given goes before the variables of the service; without either it is the usual port of this machine. */
export const serviceOf = (
  url: string | undefined,
  secret: string | undefined,
  environment: Environment
): Service => {
  const scheme = (environment["BATON_TLS_CERT_FILE"] ?? "") === "" ? "http" : "https"
  const own = `${scheme}://localhost:${environment["ELECTRIC_PORT"] || "3000"}`
  const given = url === undefined || url === "" ? own : /^https?:\/\//.test(url) ? url : `http://${url}`
  return { url: given.replace(/\/+$/, ""), secret: secret || environment["ELECTRIC_SECRET"] || undefined }
}

/** Why there is no answer that can be used, as a sentence for people. */
export interface Unanswered {
  readonly message: string
}

const answerMillis = 15_000

interface Answer {
  readonly status: number
  readonly text: string
}

/**
 * Asks the API for operators of a running service, and gives what it has answered; what is in it is the caller's promise. Nothing is
 * tried again.
 */
export const askService = <A>(
  service: Service,
  path: string,
  method: "GET" | "POST" | "DELETE" = "GET"
): Effect.Effect<A, Unanswered> =>
  Effect.tryPromise({
    try: async (signal): Promise<Answer> => {
      const response = await fetch(`${service.url}/baton/api/${path}`, {
        method,
        signal,
        redirect: "error",
        headers: service.secret === undefined ? {} : { authorization: `Bearer ${service.secret}` }
      })
      return { status: response.status, text: await response.text() }
    },
    catch: (error) => unreachable(service, error)
  }).pipe(
    Effect.timeoutOrElse({
      duration: answerMillis,
      orElse: () =>
        Effect.fail({
          message: `${service.url} does not answer within ${answerMillis / 1000} s. It may be frozen or overloaded, or something in between holds the answer back.`
        })
    }),
    Effect.flatMap((answer) => understood<A>(service, answer))
  )

const hint = "Say where it is with --url, or set ELECTRIC_PORT as the service has it."

const unreachable = ({ url }: Service, error: unknown): Unanswered => {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  const code = (cause as { readonly code?: unknown } | null | undefined)?.code
  if (code === "ECONNREFUSED") return { message: `Nothing listens at ${url}. Does the service run? ${hint}` }
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER")
    return { message: `What listens at ${url} speaks no TLS: use http in place of https.` }
  if (typeof code === "string" && /CERT|TLS|SSL|SELF_SIGNED/.test(code))
    return {
      message: `The certificate of ${url} is not trusted (${code}). Use the name that stands in it with --url, and NODE_EXTRA_CA_CERTS for an authority of your own.`
    }
  const said = cause instanceof Error && cause.message !== "" ? cause.message : String(code ?? cause)
  return { message: `${url} cannot be reached: ${said}. ${hint}` }
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const understood = <A>(service: Service, { status, text }: Answer): Effect.Effect<A, Unanswered> => {
  const body = parsed(text)
  const isObject = typeof body === "object" && body !== null
  if (status >= 200 && status < 300 && isObject) return Effect.succeed(body as A)
  const { error, message } = (isObject ? body : {}) as {
    readonly error?: unknown
    readonly message?: unknown
  }
  if (status === 401)
    return Effect.fail({
      message: `${service.url} wants ${service.secret === undefined ? "a" : "another"} secret: set ELECTRIC_SECRET as the service has it, or --secret.`
    })
  if (typeof error === "string" && typeof message === "string") return Effect.fail({ message })
  if (status === 404)
    return Effect.fail({
      message: `${service.url} answers, and has no API for operators there: BATON_DASHBOARD may be off, or metrics (then use the port of ELECTRIC_PROMETHEUS_PORT), or its release is older than 0.2.0.`
    })
  return Effect.fail({
    message: `What answers at ${service.url} is no service of this kind, or something in between answers for it (status ${status}). ${hint}`
  })
}
