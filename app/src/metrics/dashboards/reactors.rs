//! The cores: their time, their buffers, and what waits on them.

use super::{Dashboard, INSTANCE, Kind, Panel, Unit, Variable, query};

pub(super) const DASHBOARD: Dashboard = Dashboard {
    name: "srpt-reactors",
    title: "srpt: reactors",
    variables: &[INSTANCE, Variable { label: "reactor", metric: "srpt_reactor_info" }],
    panels: &[
        Panel {
            title: "Busy",
            kind: Kind::Graph,
            unit: Unit::Ratio,
            width: 12,
            queries: &[query(
                r#"rate(srpt_reactor_busy_seconds_total{instance=~"$instance",reactor=~"$reactor"}[$interval]) / (rate(srpt_reactor_busy_seconds_total{instance=~"$instance",reactor=~"$reactor"}[$interval]) + rate(srpt_reactor_idle_seconds_total{instance=~"$instance",reactor=~"$reactor"}[$interval]))"#,
                "{instance} {reactor}",
            )],
        },
        Panel {
            title: "Time of a poll that finds work, mean",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"rate(srpt_poller_busy_seconds_total{instance=~"$instance",reactor=~"$reactor"}[$interval]) / rate(srpt_poller_busy_runs_total{instance=~"$instance",reactor=~"$reactor"}[$interval])"#,
                "{instance} {reactor} {poller}",
            )],
        },
        Panel {
            title: "Rounds",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"rate(srpt_reactor_rounds_total{instance=~"$instance",reactor=~"$reactor"}[$interval])"#,
                "{instance} {reactor}",
            )],
        },
        Panel {
            title: "Stalls and sleeps",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[
                query(
                    r#"rate(srpt_reactor_stalls_total{instance=~"$instance",reactor=~"$reactor"}[$interval])"#,
                    "{instance} {reactor} stalls",
                ),
                query(
                    r#"rate(srpt_reactor_sleeps_total{instance=~"$instance",reactor=~"$reactor"}[$interval])"#,
                    "{instance} {reactor} sleeps",
                ),
            ],
        },
        Panel {
            title: "Channels",
            kind: Kind::Graph,
            unit: Unit::Number,
            width: 12,
            queries: &[query(
                r#"sum by (instance, reactor) (srpt_channels{instance=~"$instance",reactor=~"$reactor"})"#,
                "{instance} {reactor}",
            )],
        },
        Panel {
            title: "Commands in flight",
            kind: Kind::Graph,
            unit: Unit::Number,
            width: 12,
            queries: &[
                query(r#"srpt_commands_in_flight{instance=~"$instance",reactor=~"$reactor"}"#, "{instance} {reactor}"),
                query(
                    r#"srpt_commands_orphaned{instance=~"$instance",reactor=~"$reactor"} > 0"#,
                    "{instance} {reactor} orphans",
                ),
            ],
        },
        Panel {
            title: "Free buffers",
            kind: Kind::Graph,
            unit: Unit::Ratio,
            width: 12,
            queries: &[query(
                r#"srpt_buffers_free{instance=~"$instance",reactor=~"$reactor"} / srpt_buffers{instance=~"$instance",reactor=~"$reactor"}"#,
                "{instance} {reactor} {pool}",
            )],
        },
        Panel {
            title: "Commands that had to wait",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"rate(srpt_command_waits_total{instance=~"$instance",reactor=~"$reactor"}[$interval]) > 0"#,
                "{instance} {reactor} {resource}",
            )],
        },
        Panel {
            title: "Packets",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (instance, traffic, event) (rate(srpt_roce_packets_total{instance=~"$instance"}[$interval])) > 0"#,
                "{instance} {traffic} {event}",
            )],
        },
        Panel {
            title: "What connections meet",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (instance, event) (rate(srpt_roce_connection_events_total{instance=~"$instance"}[$interval])) > 0"#,
                "{instance} {event}",
            )],
        },
        Panel {
            title: "Processor time of the process",
            kind: Kind::Graph,
            unit: Unit::Number,
            width: 12,
            queries: &[query(
                r#"rate(process_cpu_seconds_total{instance=~"$instance"}[$interval]) and on (job, instance) srpt_build_info"#,
                "{instance}, cores",
            )],
        },
        Panel {
            title: "Memory",
            kind: Kind::Graph,
            unit: Unit::Bytes,
            width: 12,
            queries: &[
                query(
                    r#"process_resident_memory_bytes{instance=~"$instance"} and on (job, instance) srpt_build_info"#,
                    "{instance} resident",
                ),
                query(
                    r#"srpt_buffer_memory_bytes{instance=~"$instance",reactor=~"$reactor"}"#,
                    "{instance} {reactor} buffers, {pages}",
                ),
            ],
        },
        Panel {
            title: "Free huge pages of the host",
            kind: Kind::Table,
            unit: Unit::Number,
            width: 12,
            queries: &[query(r#"srpt_huge_pages_free{instance=~"$instance"}"#, "")],
        },
        Panel {
            title: "Longest poll since the start",
            kind: Kind::Table,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"max by (instance, reactor) (srpt_reactor_longest_poll_seconds{instance=~"$instance",reactor=~"$reactor"})"#,
                "",
            )],
        },
    ],
};
