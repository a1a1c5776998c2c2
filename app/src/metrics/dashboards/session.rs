//! One initiator, or some.

use super::{Dashboard, INSTANCE, Kind, Panel, Unit, Variable, query};

pub(super) const DASHBOARD: Dashboard = Dashboard {
    name: "srpt-session",
    title: "srpt: sessions",
    variables: &[
        INSTANCE,
        Variable { label: "target", metric: "srpt_session_info" },
        Variable { label: "initiator", metric: "srpt_session_info" },
    ],
    panels: &[
        Panel {
            title: "Sessions",
            kind: Kind::Table,
            unit: Unit::Number,
            width: 24,
            queries: &[query(
                r#"max by (instance, target, initiator, session, initiator_group, peer) (srpt_session_info{instance=~"$instance",target=~"$target",initiator=~"$initiator"})"#,
                "",
            )],
        },
        Panel {
            title: "Commands",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator, operation) (rate(srpt_session_operations_total{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval])) > 0"#,
                "{target} {initiator} {operation}",
            )],
        },
        Panel {
            title: "Data",
            kind: Kind::Graph,
            unit: Unit::BytesPerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator, operation) (rate(srpt_session_bytes_total{instance=~"$instance",target=~"$target",initiator=~"$initiator",operation=~"read|write|write_same"}[$interval]))"#,
                "{target} {initiator} {operation}",
            )],
        },
        Panel {
            title: "Latency, mean",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator, operation) (rate(srpt_session_latency_seconds_sum{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval])) / sum by (target, initiator, operation) (rate(srpt_session_latency_seconds_count{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval]))"#,
                "{target} {initiator} {operation}",
            )],
        },
        Panel {
            title: "Latency, 99 % of commands",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"histogram_quantile(0.99, sum by (target, initiator, operation, le) (rate(srpt_session_latency_seconds_bucket{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval])))"#,
                "{target} {initiator} {operation}",
            )],
        },
        Panel {
            title: "Queue depth and credits",
            kind: Kind::Graph,
            unit: Unit::Number,
            width: 12,
            queries: &[
                query(
                    r#"srpt_session_queue_depth{instance=~"$instance",target=~"$target",initiator=~"$initiator"}"#,
                    "{target} {initiator} requests",
                ),
                query(
                    r#"srpt_session_credits_used{instance=~"$instance",target=~"$target",initiator=~"$initiator"}"#,
                    "{target} {initiator} credits in use",
                ),
                query(
                    r#"srpt_session_credits{instance=~"$instance",target=~"$target",initiator=~"$initiator"}"#,
                    "{target} {initiator} credits granted",
                ),
            ],
        },
        Panel {
            title: "Channels",
            kind: Kind::Graph,
            unit: Unit::Number,
            width: 12,
            queries: &[query(
                r#"srpt_session_channels{instance=~"$instance",target=~"$target",initiator=~"$initiator"}"#,
                "{target} {initiator}",
            )],
        },
        Panel {
            title: "Failures, aborts and task management",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[
                query(
                    r#"rate(srpt_session_failures_total{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval]) > 0"#,
                    "{target} {initiator} failures",
                ),
                query(
                    r#"rate(srpt_session_aborted_commands_total{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval]) > 0"#,
                    "{target} {initiator} aborted",
                ),
                query(
                    r#"rate(srpt_session_task_management_total{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval]) > 0"#,
                    "{target} {initiator} task management",
                ),
            ],
        },
        Panel {
            title: "Waits",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[
                query(
                    r#"rate(srpt_session_buffer_waits_total{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval]) > 0"#,
                    "{target} {initiator} for a buffer",
                ),
                query(
                    r#"rate(srpt_session_send_waits_total{instance=~"$instance",target=~"$target",initiator=~"$initiator"}[$interval]) > 0"#,
                    "{target} {initiator} for send slots",
                ),
            ],
        },
    ],
};
