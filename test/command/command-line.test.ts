import { assert, describe, it } from "vitest"
import { spawnSync } from "node:child_process"
import * as path from "node:path"
import { parseCommandLine } from "../../src/command/CommandLine.ts"
import { batonVersion } from "../../src/shared/ServerIdentity.ts"

const root = path.resolve(import.meta.dirname, "../..")

const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  spawnSync(process.execPath, ["src/main.ts", ...args], {
    cwd: root,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], ...env }
  })

describe("the command line", () => {
  it("serves, with HTTPS when asked to", () => {
    assert.deepStrictEqual(parseCommandLine([], "1"), { _tag: "Serve", https: false })
    assert.deepStrictEqual(parseCommandLine(["--https"], "1"), { _tag: "Serve", https: true })
  })

  it("tells its version and what there is to say", () => {
    const version = run(["--version"])
    assert.deepStrictEqual([version.stdout, version.status], [`${batonVersion}\n`, 0])
    const help = run(["--help"])
    assert.strictEqual(help.status, 0)
    for (const word of ["DATABASE_URL", "ELECTRIC_SECRET", "--https", "--version"])
      assert.include(help.stdout, word)
    assert.strictEqual(help.stderr, "")
  })

  it("refuses what it does not know, with what it does", () => {
    const { status, stderr, stdout } = run(["--prot=3"])
    assert.deepStrictEqual([status, stdout], [1, ""])
    assert.include(stderr, 'Unknown option "--prot=3"')
    assert.include(stderr, "--help")
  })

  it("has a page for each command, and names what one does not know", () => {
    const page = parseCommandLine(["doctor", "-h"], "1")
    assert.strictEqual(page._tag, "Print")
    assert.match(page._tag === "Print" ? page.text : "", /^usage: baton doctor .*exit status.*--write/s)
    assert.deepStrictEqual(parseCommandLine(["doctor", "--json"], "1"), {
      _tag: "Doctor",
      json: true,
      write: false
    })
    for (const [args, expected] of [
      [["doctor", "--jsn"], /Unknown option "--jsn"; did you mean --json\?/],
      [["doctor", "--json=1"], /--json takes no value/],
      [["docter"], /Unknown command "docter"; did you mean doctor\?/],
      [["doctor", "now"], /Unknown argument "now"/]
    ] as const) {
      const mistake = parseCommandLine(args, "1")
      assert.match(mistake._tag === "Mistake" ? mistake.message : "", expected)
    }
  })

  it("reads what is to be compared, and says by its status that it could not be read", () => {
    const asked = { url: undefined, secret: undefined, json: false, stop: false }
    assert.deepStrictEqual(
      parseCommandLine(["verify", "--table=public.items", "--rate=5", "--repair"], "1"),
      {
        _tag: "Verify",
        query: { table: "public.items", rate: "5", repair: "true" },
        ...asked
      }
    )
    assert.deepStrictEqual(parseCommandLine(["verify", "--all"], "1"), {
      _tag: "Verify",
      query: {},
      ...asked
    })
    for (const args of [["--shape=1-1", "--all"], ["--stop", "--repair"], ["items"], ["--repiar"]]) {
      const mistake = parseCommandLine(["verify", ...args], "1")
      assert.deepStrictEqual([mistake._tag, mistake._tag === "Mistake" && mistake.status], ["Mistake", 2])
    }
  })

  it("says why it cannot start as its log would: an error with a time, in JSON where the log is", () => {
    const wrong = { ELECTRIC_INSECURE: "true", ELECTRIC_PORT: "many" }
    const lines = run([], { ...wrong, BATON_LOG_FORMAT: "text" })
    assert.strictEqual(lines.status, 1)
    assert.match(lines.stderr, /^\d{4}-\d\d-\d\dT\S+ error .*ELECTRIC_PORT/s)
    const json = run([], { ...wrong, BATON_LOG_FORMAT: "json" })
    const event: unknown = JSON.parse(json.stderr)
    assert.include(event, { level: "error" })
    assert.include((event as { readonly message: string }).message, "ELECTRIC_PORT")
  })
})
