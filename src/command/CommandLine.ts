/** What the command line asks for. What the service is to do is said by environment variables; these are for people. */
type CommandLine =
  | { readonly _tag: "Serve"; readonly https: boolean }
  | { readonly _tag: "Finalise" }
  | { readonly _tag: "Print"; readonly text: string }
  | { readonly _tag: "Mistake"; readonly message: string }

const options = [
  ["--https", "serve HTTPS and HTTP/2 with a certificate that is made for localhost (for development)"],
  ["--version", "print the version"],
  ["--help", "print this"]
] as const

const help = `usage: baton [option]
       baton finalise

Syncs shapes of a Postgres database to clients over HTTP. Everything is configured by environment variables:

  DATABASE_URL           the database to replicate from; unset: a development database, where one is installed
  ELECTRIC_SECRET        every request for a shape has to carry it (or ELECTRIC_INSECURE=true)
  ELECTRIC_PORT          port of the HTTP API (3000)
  ELECTRIC_STORAGE_DIR   where shapes are kept (./persistent)

docs/configuration.md lists all of them.

"baton finalise", with the variables of the service, says that no older release will be brought back: what is stored gets the
form of this release as soon as no older instance is there (docs/upgrade.md).

options:
${options.map(([name, about]) => `  ${name.padEnd(11)} ${about}`).join("\n")}
`

/** Reads the arguments of the command; any mistake is said with the options that there are. */
export const parseCommandLine = (args: ReadonlyArray<string>, version: string): CommandLine => {
  if (args[0] === "finalise" && args.length === 1) return { _tag: "Finalise" }
  const known = new Set<string>([...options.map(([name]) => name), "-h"])
  const unknown = args.find((argument) => !known.has(argument))
  if (unknown !== undefined) {
    const names = options.map(([name]) => name).join(" | ")
    return {
      _tag: "Mistake",
      message: `Unknown ${unknown.startsWith("-") ? "option" : "command"} ${JSON.stringify(unknown)}\nusage: baton [${names}]\n       baton finalise`
    }
  }
  if (args.includes("--help") || args.includes("-h")) return { _tag: "Print", text: help }
  if (args.includes("--version")) return { _tag: "Print", text: `${version}\n` }
  return { _tag: "Serve", https: args.includes("--https") }
}
