/** What a figure is measured in, as Grafana names it. */
type Unit = "short" | "bytes" | "Bps" | "s" | "ms" | "reqps" | "ops" | "percentunit" | "bool"

interface Line {
  readonly expression: string
  readonly legend: string
}

interface Panel {
  readonly title: string
  readonly description: string
  readonly unit: Unit
  readonly kind?: "timeseries" | "stat"
  /** Nothing is shown where there is no bucket, no limit on WAL, or no instance that waits. */
  readonly mayBeEmpty?: true
  readonly lines: ReadonlyArray<Line>
}

interface Row {
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
}

const of = '{job=~"$job",instance=~"$instance"}'
const line = (expression: string, legend = "{{instance}}"): Line => ({ expression, legend })
const rate = (metric: string, selected = of) => `rate(${metric}${selected}[$__rate_interval])`
const quantiles = (histogram: string): ReadonlyArray<Line> =>
  ([0.5, 0.9, 0.99] as const).map((quantile) =>
    line(
      `histogram_quantile(${quantile}, sum by (le) (${rate(`${histogram}_bucket`)}))`,
      `p${Math.round(quantile * 100)}`
    )
  )

export const dashboardRows: ReadonlyArray<Row> = [
  {
    title: "At a glance",
    panels: [
      {
        title: "Active instances",
        description: "1 is right, for each stream.",
        unit: "short",
        kind: "stat",
        lines: [line(`sum(baton_state{job=~"$job",instance=~"$instance",state=~"active|asleep"})`, "active")]
      },
      {
        title: "Shapes",
        description: "Shapes that there are, and how many of them nobody has read for long.",
        unit: "short",
        kind: "stat",
        lines: [
          line(`max(electric_shapes_total_shapes_count${of})`, "shapes"),
          line(`max(baton_dormant_shapes${of})`, "dormant")
        ]
      },
      {
        title: "Held requests",
        description: "Requests that wait for a change, event streams included.",
        unit: "short",
        kind: "stat",
        lines: [line(`sum(baton_held_requests${of})`, "held")]
      },
      {
        title: "Commit to answer, p99",
        description:
          "From the commit in Postgres until those who waited were answered, without the difference of the clocks.",
        unit: "s",
        kind: "stat",
        lines: [
          line(`histogram_quantile(0.99, sum by (le) (${rate("baton_serving_lag_seconds_bucket")}))`, "p99")
        ]
      },
      {
        title: "State",
        description: "Of each instance.",
        unit: "short",
        lines: [line(`baton_state${of} == 1`, "{{instance}} {{state}}")]
      },
      {
        title: "Takeovers",
        description: "How often each instance has become active.",
        unit: "short",
        lines: [line(`baton_takeovers_total${of}`), line(`baton_epoch${of}`, "epoch seen by {{instance}}")]
      }
    ]
  },
  {
    title: "Replication",
    panels: [
      {
        title: "Slot",
        description: "State of the replication slot; anything but ok needs somebody.",
        unit: "short",
        lines: [line(`max by (state) (baton_slot_state${of})`, "{{state}}")]
      },
      {
        title: "Stream",
        description: "How it stands with the stream of changes: flowing, behind, silent, unwatched or ended.",
        unit: "short",
        lines: [line(`max by (state) (baton_stream_state${of}) == 1`, "{{state}}")]
      },
      {
        title: "Heartbeat",
        description:
          "How old the last proof is that changes come, and how long the heartbeat took that gave it.",
        unit: "s",
        lines: [
          line(`max(baton_stream_unproven_seconds${of})`, "since the last proof"),
          line(`max(baton_heartbeat_round_trip_seconds${of})`, "round trip")
        ]
      },
      {
        title: "WAL kept for the slot",
        description: "What Postgres keeps, what Baton has not confirmed, and the limit if there is one.",
        unit: "bytes",
        lines: [
          line(`max(electric_postgres_replication_slot_retained_wal_size${of})`, "retained"),
          line(`max(electric_postgres_replication_slot_confirmed_flush_lsn_lag${of})`, "not confirmed"),
          line(`max(baton_max_slot_wal_keep_bytes${of})`, "limit")
        ]
      },
      {
        title: "WAL until the slot is lost",
        description: "What can still be written before Postgres may give the slot up.",
        unit: "bytes",
        mayBeEmpty: true,
        lines: [line(`min(baton_slot_safe_wal_bytes${of})`, "safe")]
      },
      {
        title: "Transactions",
        description: "Received from Postgres, and the changed rows in them.",
        unit: "ops",
        lines: [
          line(`sum(${rate("electric_postgres_replication_transaction_received_count")})`, "transactions"),
          line(`sum(${rate("electric_postgres_replication_transaction_received_operations_sum")})`, "changes")
        ]
      },
      {
        title: "Commit to receipt",
        description: "Without the difference of the clocks.",
        unit: "ms",
        lines: quantiles("electric_postgres_replication_transaction_received_receive_lag")
      },
      {
        title: "Clock of Postgres ahead of ours",
        description: "It is in all lags that are measured from a commit.",
        unit: "s",
        lines: [line(`baton_database_clock_ahead_seconds${of}`)]
      }
    ]
  },
  {
    title: "Requests",
    panels: [
      {
        title: "Answers",
        description: "By status.",
        unit: "reqps",
        lines: [line(`sum by (status) (${rate("electric_plug_serve_shape_requests_count")})`, "{{status}}")]
      },
      {
        title: "Commit to answer",
        description: "For those who waited, in the main process.",
        unit: "s",
        lines: quantiles("baton_serving_lag_seconds")
      },
      {
        title: "In progress",
        description: "Held ones, all open ones, and places taken.",
        unit: "short",
        lines: [
          line(`sum(baton_held_requests${of})`, "held"),
          line(`sum(baton_open_requests${of})`, "open"),
          line(`sum by (kind) (electric_admission_control_acquire_current${of})`, "{{kind}}")
        ]
      },
      {
        title: "Refused for too many others",
        description: "By kind: requests for shapes that have to be made, and for those that exist.",
        unit: "reqps",
        lines: [line(`sum by (kind) (${rate("electric_admission_control_reject_count")})`, "{{kind}}")]
      },
      {
        title: "Clients that do not read",
        description: "Answers that wait for their client, and connections cut because of it.",
        unit: "short",
        lines: [
          line(`sum(baton_slow_readers${of})`, "waiting"),
          line(`sum(increase(baton_slow_readers_cut_total${of}[$__rate_interval]))`, "cut")
        ]
      }
    ]
  },
  {
    title: "Shapes",
    panels: [
      {
        title: "Dropped",
        description: "By reason. Their clients fetch them again.",
        unit: "short",
        lines: [
          line(`sum by (reason) (increase(baton_shapes_dropped_total${of}[$__rate_interval]))`, "{{reason}}"),
          line(
            `sum by (reason) (increase(baton_resets_total${of}[$__rate_interval]))`,
            "all at once: {{reason}}"
          )
        ]
      },
      {
        title: "Compared with the database",
        description:
          "Repairs after a lost position by reason, changes that shapes got by them, and rows that `baton verify` has found to differ.",
        unit: "short",
        lines: [
          line(
            `sum by (reason) (increase(baton_repairs_total${of}[$__rate_interval]))`,
            "repairs: {{reason}}"
          ),
          line(
            `sum by (operation) (increase(baton_repair_differences_total${of}[$__rate_interval]))`,
            "repaired: {{operation}}"
          ),
          line(
            `sum by (kind) (increase(baton_verify_differences_total${of}[$__rate_interval]))`,
            "found: {{kind}}"
          )
        ]
      },
      {
        title: "First rows",
        description: "Shapes whose first rows are being read, and those that failed.",
        unit: "short",
        lines: [
          line(`sum(baton_snapshots_running${of})`, "running"),
          line(`sum(increase(baton_failed_snapshots_total${of}[$__rate_interval]))`, "failed")
        ]
      },
      {
        title: "Long work",
        description: "How much is done of first rows, recovery, and takeovers that take long.",
        unit: "percentunit",
        mayBeEmpty: true,
        lines: [line(`baton_long_work_done_ratio${of}`, "{{instance}} {{kind}}")]
      },
      {
        title: "First rows, bytes",
        description: "How much of them is read.",
        unit: "Bps",
        lines: [line(`sum(${rate("baton_snapshot_bytes_total")})`, "bytes")]
      },
      {
        title: "First rows, duration",
        description: "From the request to the last row.",
        unit: "ms",
        lines: quantiles("electric_shape_snapshot_create_snapshot_task_stop_duration")
      },
      {
        title: "Asked of Postgres",
        description: "Changed rows whose conditions cannot be evaluated here.",
        unit: "ops",
        lines: [line(`sum(${rate("baton_rows_decided_by_postgres_total")})`, "rows")]
      },
      {
        title: "Sub-selects behind",
        description: "WAL that other shapes are ahead of those with sub-selects.",
        unit: "bytes",
        lines: [line(`max(baton_subselect_behind_bytes${of})`, "behind")]
      }
    ]
  },
  {
    title: "Processes",
    panels: [
      {
        title: "Event loop, busy",
        description: "1 is a process that can do no more.",
        unit: "percentunit",
        lines: [line(rate("baton_event_loop_active_seconds_total"), "{{instance}} {{process}}")]
      },
      {
        title: "Event loop, late",
        description: "What a request may have to wait at least.",
        unit: "s",
        lines: [
          line(
            `histogram_quantile(0.99, sum by (instance, process, le) (${rate("baton_event_loop_delay_seconds_bucket")}))`,
            "{{instance}} {{process}}"
          )
        ]
      },
      {
        title: "Processor",
        description: "Cores in use, all threads.",
        unit: "short",
        lines: [line(rate("baton_process_cpu_seconds_total"), "{{instance}} {{process}}")]
      },
      {
        title: "Memory",
        description: "Resident, and JavaScript objects in it.",
        unit: "bytes",
        lines: [
          line(`baton_process_resident_memory_bytes${of}`, "{{instance}} {{process}}"),
          line(`baton_process_heap_used_bytes${of}`, "{{instance}} {{process}} heap")
        ]
      },
      {
        title: "HTTP workers",
        description: "Those that answer, and those that should.",
        unit: "short",
        lines: [
          line(`baton_http_workers_ready${of}`, "{{instance}} ready"),
          line(`baton_http_workers_configured${of}`, "{{instance}} configured")
        ]
      }
    ]
  },
  {
    title: "Storage",
    panels: [
      {
        title: "Stored",
        description: "By what it is.",
        unit: "bytes",
        lines: [
          line(`max by (kind) (baton_storage_bytes${of})`, "{{kind}}"),
          line(`max(baton_journal_bytes${of})`, "journal")
        ]
      },
      {
        title: "Left on the disk",
        description: "Where storage is.",
        unit: "bytes",
        lines: [line(`baton_storage_free_bytes${of}`)]
      },
      {
        title: "Followers behind",
        description: "Bytes of the journal that waiting instances and HTTP workers have not read.",
        unit: "bytes",
        lines: [line(`baton_follower_lag_bytes${of}`, "{{instance}} {{process}}")]
      },
      {
        title: "Bucket, behind",
        description: "How long the oldest change waits that is not in the bucket yet.",
        unit: "s",
        mayBeEmpty: true,
        lines: [
          line(`baton_bucket_unshipped_seconds${of}`, "{{instance}} unshipped"),
          line(`baton_bucket_failing_seconds${of}`, "{{instance}} {{side}} fails"),
          line(`baton_mirror_behind_seconds${of}`, "{{instance}} mirror")
        ]
      },
      {
        title: "Bucket, requests",
        description: "By operation; failures beside.",
        unit: "reqps",
        mayBeEmpty: true,
        lines: [
          line(`sum by (operation) (${rate("baton_bucket_requests_total")})`, "{{operation}}"),
          line(`sum by (operation) (${rate("baton_bucket_request_failures_total")})`, "{{operation}} failed")
        ]
      }
    ]
  }
]

const columns = 24
const widths = { stat: 6, timeseries: 8 } as const
const heights = { stat: 4, timeseries: 8 } as const
const datasource = { type: "prometheus", uid: "${datasource}" }

const panelOf = (panel: Panel, id: number, x: number, y: number) => {
  const kind = panel.kind ?? "timeseries"
  return {
    id,
    type: kind,
    title: panel.title,
    description: panel.description,
    datasource,
    gridPos: { x, y, w: widths[kind], h: heights[kind] },
    fieldConfig: { defaults: { unit: panel.unit, min: panel.unit === "s" ? null : 0 }, overrides: [] },
    targets: panel.lines.map(({ expression, legend }, i) => ({
      refId: String.fromCharCode(65 + i),
      datasource,
      expr: expression,
      legendFormat: legend
    }))
  }
}

/** One after the other, in lines. */
const laidOut = (): ReadonlyArray<object> => {
  const made: Array<object> = []
  let y = 0
  for (const row of dashboardRows) {
    made.push({
      id: made.length + 1,
      type: "row",
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: columns, h: 1 },
      panels: []
    })
    y++
    let x = 0
    let height = 0
    for (const panel of row.panels) {
      const kind = panel.kind ?? "timeseries"
      if (x + widths[kind] > columns) {
        x = 0
        y += height
      }
      made.push(panelOf(panel, made.length + 1, x, y))
      x += widths[kind]
      height = heights[kind]
    }
    y += height
  }
  return made
}

const variable = (name: string, label: string, query: string) => ({
  name,
  label,
  type: "query",
  datasource,
  query,
  refresh: 2,
  includeAll: true,
  allValue: ".*",
  multi: true,
  current: { text: "All", value: "$__all" }
})

/** The board as Grafana imports it. */
export const dashboard = (): object => ({
  title: "Baton",
  uid: "baton",
  tags: ["baton", "postgres"],
  schemaVersion: 39,
  editable: true,
  refresh: "30s",
  time: { from: "now-3h", to: "now" },
  templating: {
    list: [
      { name: "datasource", label: "Data source", type: "datasource", query: "prometheus" },
      variable("job", "Job", "label_values(baton_info, job)"),
      variable("instance", "Instance", 'label_values(baton_info{job=~"$job"}, instance)')
    ]
  },
  panels: laidOut()
})
