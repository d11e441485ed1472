import type { HealthState } from "../../health/HealthState.ts"

/** Does the client ask for a page? Browsers name HTML among what they accept; probes and clients do not. */
export const wantsPage = (accept: string | undefined): boolean =>
  accept !== undefined && accept.includes("text/html")

/**
 * What a browser shows at `/`: that this is Baton, what state the instance is in, and where to go on. Nothing in it comes
 * from the request, and it loads nothing from elsewhere.
 */
export const rootPage = (
  version: string,
  state: HealthState,
  needsSecret: boolean,
  hasDashboard: boolean
): string => {
  const secret = needsSecret ? "&amp;secret=…" : ""
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Baton</title>
<link rel="icon" href="data:,">
<style>body { font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem } code { background: #8882; padding: .1em .3em }</style>
<h1>Baton ${version}</h1>
<p>This instance is <strong>${state}</strong>. It syncs shapes of a Postgres database over HTTP.</p>
<ul>
<li><code>GET /v1/shape?table=…&amp;offset=-1${secret}</code>: the rows of a table, then every change
<li><a href="v1/health"><code>GET /v1/health</code></a>: the state of this instance, for load balancers
${hasDashboard ? '<li><a href="baton/"><code>/baton</code></a>: the page for operators\n' : ""}<li><a href="v1/openapi.json"><code>GET /v1/openapi.json</code></a>: the whole API
</ul>
`
}
