/** Asking the service. The secret, where it is needed and the browser has not asked for it itself, stays in this page's memory. */

const fromUrl = () => {
  const url = new URL(location.href)
  const given = url.searchParams.get("secret")
  if (given === null) return undefined
  // It stands in no history, and is not in what somebody copies.
  url.searchParams.delete("secret")
  history.replaceState(null, "", url)
  return given
}

let secret = fromUrl()

const headers = () => ({
  "x-baton-page": "1",
  ...(secret === undefined ? {} : { authorization: bearer(secret) })
})

/** Of any characters: headers have bytes only. */
const bearer = (text) => `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`page:${text}`)))}`

/** Asks the person for the secret; false when they would rather not. */
const askSecret = async () => {
  const dialog = document.getElementById("ask")
  const input = document.getElementById("ask-secret")
  input.value = ""
  if (!dialog.open) dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }))
  if (dialog.returnValue !== "ok" || input.value === "") return false
  secret = input.value
  input.value = ""
  return true
}

let asking
const askedOnce = () => (asking ??= askSecret().finally(() => (asking = undefined)))

/** What the service says is wrong, for a person. */
export class Problem extends Error {}

/** Asks below `api/`. Rejects with a `Problem`, or with the signal's reason. */
export const api = async (path, options = {}) => {
  for (;;) {
    let response
    try {
      response = await fetch(`api/${path}`, { ...options, headers: headers() })
    } catch (error) {
      if (options.signal?.aborted) throw error
      throw new Problem("The service does not answer.", { cause: error })
    }
    if (response.status === 401 && (await askedOnce())) continue
    const body = await response.json().catch(() => ({}))
    if (response.ok) return body
    throw new Problem(body.message ?? `The service answers ${response.status}.`)
  }
}

const longestPauseMillis = 10_000

const readEvents = async (body, onStatus) => {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    text += value
    const events = text.split("\n\n")
    text = events.pop()
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1]
      if (data !== undefined) onStatus(JSON.parse(data))
    }
  }
}

const visible = () =>
  new Promise((resolve) => {
    if (!document.hidden) resolve()
    else document.addEventListener("visibilitychange", () => resolve(visible()), { once: true })
  })

/** The status, every second for as long as the page is open and can be seen. `onLink` is told whether it comes. */
export const follow = async (onStatus, onLink) => {
  let pause = 500
  for (;;) {
    await visible()
    const hidden = new AbortController()
    const onHidden = () => document.hidden && hidden.abort()
    document.addEventListener("visibilitychange", onHidden)
    try {
      const response = await fetch("api/live", { headers: headers(), signal: hidden.signal })
      if (response.status === 401) await askedOnce()
      else if (!response.ok) throw new Error(String(response.status))
      else {
        onLink("live")
        pause = 500
        await readEvents(response.body, onStatus)
      }
    } catch {
      // It is tried again.
    }
    document.removeEventListener("visibilitychange", onHidden)
    onLink(document.hidden ? "paused" : "lost")
    await new Promise((resolve) => setTimeout(resolve, pause))
    pause = Math.min(2 * pause, longestPauseMillis)
  }
}
