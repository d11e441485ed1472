import type { DoctorFacts, PortLook } from "./Facts.ts"
import { advice, type Finding, fine, problem } from "./Finding.ts"
import { findingsOf, valueOf } from "./Seen.ts"

/** The variables, and what the system lets this process do. */
export const configFindings = ({
  configWarnings,
  database,
  hasNoAddress,
  openFilesProblem,
  port
}: DoctorFacts): ReadonlyArray<Finding> => {
  const said = [
    ...configWarnings.map((text) =>
      advice("configuration", "BATON-CONFIG-ADVICE", /[.?!]$/.test(text) ? text : `${text}.`)
    ),
    ...(hasNoAddress
      ? [
          advice(
            "configuration",
            "BATON-BUCKET-ADDRESS",
            "ELECTRIC_PORT is 0, so other instances cannot be told where this one is, and get changes by way of the bucket only.",
            "BATON_ADVERTISE_URL, or a port"
          )
        ]
      : [])
  ]
  return [
    ...(said.length === 0 ? [fine("configuration", "All variables can be read.")] : said),
    ...findingsOf("configuration", port, (look) =>
      portFindings(
        look,
        (valueOf(database?.lock) ?? []).some(({ instanceId }) => instanceId !== undefined)
      )
    ),
    openFilesProblem === undefined
      ? fine("process", "As many files may be open as clients need.")
      : advice("process", "BATON-REQUEST-CONNECTIONS", openFilesProblem)
  ]
}

/** `isOurs`: an instance with the storage of these variables is there. */
const portFindings = (port: PortLook, isOurs: boolean): ReadonlyArray<Finding> => {
  switch (port._tag) {
    case "Free":
      return [fine("configuration", "Nobody listens on the port of the API yet.")]
    case "Refused":
      return [
        problem(
          "configuration",
          "BATON-START-PORT",
          `The port of the API cannot be listened on: ${port.message}. This does not heal by itself.`,
          "ELECTRIC_PORT"
        )
      ]
    case "Taken":
      if (port.answers !== undefined && isOurs)
        return [fine("configuration", `An instance answers on the port of the API: it is ${port.answers}.`)]
      return [
        port.answers === undefined
          ? problem(
              "configuration",
              "BATON-START-PORT",
              "Another program listens on the port of the API. A start would fail until it ends.",
              "ELECTRIC_PORT"
            )
          : advice(
              "configuration",
              "BATON-START-PORT",
              `A service of this kind answers on the port of the API already: it is ${port.answers}. If it is not the one that these variables are of, a start would fail.`
            )
      ]
  }
}
