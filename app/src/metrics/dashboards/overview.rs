//! All of a target, or of several.

use super::{Dashboard, INSTANCE, Kind, Panel, Unit, query};

pub(super) const DASHBOARD: Dashboard = Dashboard {
    name: "srpt-overview",
    title: "srpt: overview",
    variables: &[INSTANCE],
    panels: &[
        Panel {
            title: "Targets that answer",
            kind: Kind::Stat,
            unit: Unit::Number,
            width: 4,
            queries: &[query(r#"count(srpt_build_info{instance=~"$instance"}) or vector(0)"#, "")],
        },
        Panel {
            title: "Sessions",
            kind: Kind::Stat,
            unit: Unit::Number,
            width: 4,
            queries: &[query(r#"count(srpt_session_info{instance=~"$instance"}) or vector(0)"#, "")],
        },
        Panel {
            title: "LUNs",
            kind: Kind::Stat,
            unit: Unit::Number,
            width: 4,
            queries: &[query(r#"count(srpt_lun_info{instance=~"$instance"}) or vector(0)"#, "")],
        },
        Panel {
            title: "Commands now",
            kind: Kind::Stat,
            unit: Unit::PerSecond,
            width: 4,
            queries: &[query(r#"sum(rate(srpt_lun_operations_total{instance=~"$instance"}[$interval]))"#, "")],
        },
        Panel {
            title: "Data now",
            kind: Kind::Stat,
            unit: Unit::BytesPerSecond,
            width: 4,
            queries: &[query(r#"sum(rate(srpt_lun_bytes_total{instance=~"$instance"}[$interval]))"#, "")],
        },
        Panel {
            title: "Alerts",
            kind: Kind::Stat,
            unit: Unit::Number,
            width: 4,
            queries: &[query(r#"count(ALERTS{alertname=~"Srpt.*",alertstate="firing"}) or vector(0)"#, "")],
        },
        Panel {
            title: "Commands",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (operation) (rate(srpt_lun_operations_total{instance=~"$instance"}[$interval]))"#,
                "{operation}",
            )],
        },
        Panel {
            title: "Data",
            kind: Kind::Graph,
            unit: Unit::BytesPerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (operation) (rate(srpt_lun_bytes_total{instance=~"$instance",operation=~"read|write|write_same"}[$interval]))"#,
                "{operation}",
            )],
        },
        Panel {
            title: "Latency of reads and writes",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[
                query(
                    r#"histogram_quantile(0.5, sum by (operation, le) (rate(srpt_lun_latency_seconds_bucket{instance=~"$instance",operation=~"read|write"}[$interval])))"#,
                    "{operation}, half of them",
                ),
                query(
                    r#"histogram_quantile(0.99, sum by (operation, le) (rate(srpt_lun_latency_seconds_bucket{instance=~"$instance",operation=~"read|write"}[$interval])))"#,
                    "{operation}, 99 %",
                ),
            ],
        },
        Panel {
            title: "Busy reactors",
            kind: Kind::Graph,
            unit: Unit::Ratio,
            width: 12,
            queries: &[query(
                r#"rate(srpt_reactor_busy_seconds_total{instance=~"$instance"}[$interval]) / (rate(srpt_reactor_busy_seconds_total{instance=~"$instance"}[$interval]) + rate(srpt_reactor_idle_seconds_total{instance=~"$instance"}[$interval]))"#,
                "{instance} {reactor}",
            )],
        },
        Panel {
            title: "Commands by LUN",
            kind: Kind::Table,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"topk(20, sum by (instance, target, initiator_group, lun) (rate(srpt_lun_operations_total{instance=~"$instance"}[$interval])))"#,
                "",
            )],
        },
        Panel {
            title: "Commands by session",
            kind: Kind::Table,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"topk(20, sum by (instance, target, initiator) (rate(srpt_session_operations_total{instance=~"$instance"}[$interval])))"#,
                "",
            )],
        },
        Panel {
            title: "Commands that fail",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (status, sense_key) (rate(srpt_lun_errors_total{instance=~"$instance",sense_key!="unit_attention"}[$interval])) > 0"#,
                "{status} {sense_key}",
            )],
        },
        Panel {
            title: "Device errors",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (bdev, reason) (rate(srpt_bdev_errors_total{instance=~"$instance"}[$interval])) > 0"#,
                "{bdev} {reason}",
            )],
        },
        Panel {
            title: "Logins",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[
                query(r#"sum(rate(srpt_logins_accepted_total{instance=~"$instance"}[$interval]))"#, "accepted"),
                query(
                    r#"sum by (reason) (rate(srpt_logins_rejected_total{instance=~"$instance"}[$interval])) > 0"#,
                    "refused: {reason}",
                ),
                query(
                    r#"sum by (reason) (rate(srpt_channel_failures_total{instance=~"$instance"}[$interval])) > 0"#,
                    "channel ended: {reason}",
                ),
            ],
        },
        Panel {
            title: "Aborts and task management",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[
                query(
                    r#"sum(rate(srpt_lun_aborted_commands_total{instance=~"$instance"}[$interval])) > 0"#,
                    "commands aborted",
                ),
                query(
                    r#"sum by (function) (rate(srpt_task_management_total{instance=~"$instance"}[$interval])) > 0"#,
                    "{function}",
                ),
            ],
        },
        Panel {
            title: "Space in use beneath bdevs with a threshold",
            kind: Kind::Graph,
            unit: Unit::Ratio,
            width: 12,
            queries: &[query(
                r#"1 - srpt_bdev_space_free_bytes{instance=~"$instance"} / srpt_bdev_space_bytes{instance=~"$instance"}"#,
                "{bdev}",
            )],
        },
        Panel {
            title: "Packets sent again",
            kind: Kind::Graph,
            unit: Unit::Ratio,
            width: 12,
            queries: &[query(
                r#"sum by (instance) (rate(srpt_roce_connection_events_total{instance=~"$instance",event="retransmitted"}[$interval])) / sum by (instance) (rate(srpt_roce_packets_total{instance=~"$instance",traffic="data",event="sent"}[$interval]))"#,
                "{instance}",
            )],
        },
    ],
};
