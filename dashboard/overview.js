import {
  ago,
  bytes,
  card,
  duration,
  facts,
  h,
  millis,
  number,
  rate,
  renew,
  share,
  show,
  table
} from "./dom.js"
import { Plot, Series, stepsBar } from "./plots.js"

/** Filled as long as the page is open, whatever is shown. */
const series = { changes: new Series(), requests: new Series(), lag: new Series(), loop: new Series() }

export const collect = (status) => {
  series.changes.push(status.rates?.changesPerSecond)
  series.requests.push(status.rates?.requestsPerSecond)
  series.lag.push(status.rates?.receiveLagMillis)
  series.loop.push(status.eventLoop?.maxMillis)
}

const kindOf = {
  active: "good",
  replica: "good",
  ready: "good",
  loading: "warn",
  ok: "good",
  waiting: "",
  growing: "warn",
  starting: "warn",
  takingOver: "warn",
  unreserved: "bad",
  lost: "bad",
  missing: "bad",
  unwritable: "bad",
  disconnected: "bad"
}
/** What a state is called, in the colour of what it means. */
export const badge = (text) => h("span", { class: `badge ${kindOf[text] ?? "warn"}` }, text)

const slotCard = ({ databaseAnswers, slot }) => {
  if (slot === null)
    return card(
      "Replication slot",
      h(
        "p",
        {},
        databaseAnswers === false ? "Postgres does not answer." : "This instance does not ask Postgres now."
      )
    )
  const { maxSlotWalKeepBytes: most, retainedWalBytes: kept } = slot
  return card(
    "Replication slot",
    h("p", {}, badge(slot.verdict.state), " ", slot.verdict.text),
    most === null || kept === null
      ? null
      : h("meter", {
          "aria-label": `WAL that is kept: ${bytes(kept)} of ${bytes(most)}`,
          min: 0,
          max: most,
          high: most / 2,
          value: Math.min(kept, most)
        }),
    facts([
      ["Name", slot.name],
      ["WAL kept", `${bytes(kept)}${most === null ? ", without a limit" : ` of ${bytes(most)}`}`],
      ["Not confirmed", bytes(slot.unconfirmedWalBytes)],
      slot.safeWalBytes === null ? null : ["Left until it is lost", bytes(slot.safeWalBytes)],
      ["Read by process", slot.activePid === null ? "nobody" : String(slot.activePid)]
    ])
  )
}

const instancesCard = ({ instances }) =>
  card(
    "Instances",
    table(
      "Instances that hold the lock or wait for it",
      [["Instance"], ["State"], ["Release"], ["Behind", "number"], ["Address", "phone-hidden"]],
      instances.map((one) => [
        h(
          "span",
          {},
          one.instanceId ?? `process ${one.backendPid} of Postgres`,
          one.isSelf ? h("b", {}, " (this one)") : null
        ),
        badge(one.state),
        one.release ?? "not known",
        one.holdsLock
          ? one.unconfirmedWalBytes === null
            ? "not known"
            : `${bytes(one.unconfirmedWalBytes)} of WAL`
          : one.followerLagBytes === null
            ? "not known"
            : `${bytes(one.followerLagBytes)} of journal`,
        one.address ?? "local"
      ])
    )
  )

const processesCard = ({ processes, workers }) =>
  card(
    "Processes",
    workers.configured === 0
      ? null
      : h("p", {}, `${workers.ready} of ${workers.configured} workers answer; ${workers.restarts} restarts.`),
    table(
      "Processes of this instance",
      [
        ["Process"],
        ["Held", "number"],
        ["Open", "number"],
        ["Memory", "number"],
        ["CPU time", "number phone-hidden"]
      ],
      processes.map((one) => [
        one.process,
        number(one.heldRequests),
        number(one.openRequests),
        bytes(one.residentBytes),
        duration(one.cpuSeconds)
      ])
    )
  )

const takeoversCard = ({ takeovers }) =>
  card(
    "Takeovers of this process",
    takeovers.length === 0
      ? h("p", { class: "quiet" }, "It has not been active yet.")
      : h(
          "ul",
          { class: "plain" },
          takeovers.map((one) =>
            h(
              "li",
              {},
              h("div", {}, h("b", {}, millis(one.millis)), ` to epoch ${one.epoch}, `, ago(one.at)),
              stepsBar(one.steps),
              h(
                "div",
                { class: "quiet" },
                one.steps.map(({ millis: took, name }) => `${name} ${took.toFixed(1)} ms`).join(" · ")
              )
            )
          )
        )
  )

const slowCard = ({ processes, slowReaders }) => {
  const cut = processes.reduce((sum, one) => sum + one.slowReaders.cut, 0)
  return card(
    "Slow clients",
    slowReaders.length === 0
      ? h("p", { class: "quiet" }, "Every client takes what it is sent.")
      : table(
          "Clients that have taken nothing for a second and longer",
          [["Client"], ["Process"], ["For", "number"]],
          slowReaders.map((one) => [one.peer ?? "gone", one.process, duration(one.forMillis / 1000)])
        ),
    cut === 0 ? null : h("p", {}, `${number(cut)} connections were cut for it (ELECTRIC_TCP_SEND_TIMEOUT).`)
  )
}

const progressCard = ({ progress }) =>
  progress.length === 0
    ? null
    : card(
        "Under way",
        progress.map((one) => [
          h(
            "div",
            {},
            `${one.name}: ${number(one.done)}${one.total === null ? "" : ` of about ${number(one.total)}`} ${one.unit}, since `,
            ago(one.startedAt)
          ),
          h("progress", {
            "aria-label": one.name,
            max: one.total ?? undefined,
            value: one.total === null ? undefined : Math.min(one.done, one.total)
          })
        ])
      )

const faultsCard = ({ failure, faults }) =>
  failure === null && faults.length === 0
    ? null
    : card(
        "Wrong now",
        failure === null ? null : h("p", { class: "bad message" }, failure),
        faults.map((one) => [
          h(
            "h3",
            { class: one.severity === "critical" ? "bad" : "warn" },
            `${one.title} `,
            h("code", {}, one.code)
          ),
          h("p", { class: "message" }, one.message),
          h("p", { class: "message quiet" }, one.heals, " ", one.advice)
        ])
      )

const dormantShare = ({ dormantShapes, shapes }) =>
  dormantShapes === 0 || shapes === 0 ? null : `, ${share(dormantShapes / shapes)} of them dormant`

const factsCard = (status) =>
  card(
    "This instance",
    facts([
      ["State", badge(status.state)],
      ["Instance", status.instanceId],
      ["Release", `${status.release}, epoch ${status.epoch}`],
      ["Up for", duration(status.uptimeSeconds)],
      ["Database", status.database],
      ["Storage", `${status.storage.place} (level ${status.storage.level})`],
      ["Journal", bytes(status.storage.journalBytes)],
      status.storage.unshippedBytes === null
        ? null
        : ["Not in the bucket yet", bytes(status.storage.unshippedBytes)],
      ["Shapes", h("span", {}, h("a", { href: "#/shapes" }, number(status.shapes)), dormantShare(status))],
      ["Requests that wait", number(status.heldRequests)],
      ["Event loop busy", status.eventLoop === undefined ? "not known" : share(status.eventLoop.busyShare)],
      ["Processor cores in use", status.rates === null ? "not known" : String(status.rates.cpuCores)],
      status.loading.shapes === 0
        ? null
        : [
            "First rows",
            `of ${number(status.loading.shapes)} shapes, the first for ${duration(status.loading.oldestSeconds)}`
          ]
    ])
  )

/** The page that is seen first. */
export const overview = (main) => {
  const plots = [
    new Plot("Changes a second", series.changes, rate),
    new Plot("Answers a second", series.requests, rate),
    new Plot("Lag from commit", series.lag, millis),
    new Plot("Event loop delay", series.loop, millis)
  ]
  const wrong = h("div")
  const rest = h("div")
  show(
    main,
    h("h1", { tabindex: "-1" }, "Overview"),
    wrong,
    h(
      "div",
      { class: "cards small" },
      plots.map(({ element }) => element)
    ),
    rest
  )
  return {
    title: "Overview",
    update: (status) => {
      for (const plot of plots) plot.draw()
      renew(wrong, faultsCard(status), progressCard(status))
      renew(
        rest,
        h("div", { class: "cards" }, factsCard(status), slotCard(status)),
        instancesCard(status),
        processesCard(status),
        h("div", { class: "cards" }, takeoversCard(status), slowCard(status))
      )
    },
    leave: () => {}
  }
}
