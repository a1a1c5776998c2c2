//! One LUN, or some, and the devices behind them.

use super::{Dashboard, INSTANCE, Kind, Panel, Unit, Variable, query};

pub(super) const DASHBOARD: Dashboard = Dashboard {
    name: "srpt-lun",
    title: "srpt: LUNs",
    variables: &[
        INSTANCE,
        Variable { label: "target", metric: "srpt_lun_info" },
        Variable { label: "lun", metric: "srpt_lun_info" },
    ],
    panels: &[
        Panel {
            title: "LUNs",
            kind: Kind::Table,
            unit: Unit::Number,
            width: 24,
            queries: &[query(
                r#"max by (instance, target, initiator_group, lun, bdev) (srpt_lun_info{instance=~"$instance",target=~"$target",lun=~"$lun"})"#,
                "",
            )],
        },
        Panel {
            title: "Commands",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator_group, lun, operation) (rate(srpt_lun_operations_total{instance=~"$instance",target=~"$target",lun=~"$lun"}[$interval])) > 0"#,
                "{target} {initiator_group} LUN {lun} {operation}",
            )],
        },
        Panel {
            title: "Data",
            kind: Kind::Graph,
            unit: Unit::BytesPerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator_group, lun, operation) (rate(srpt_lun_bytes_total{instance=~"$instance",target=~"$target",lun=~"$lun",operation=~"read|write|write_same"}[$interval]))"#,
                "{target} {initiator_group} LUN {lun} {operation}",
            )],
        },
        Panel {
            title: "Latency, mean",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator_group, lun, operation) (rate(srpt_lun_latency_seconds_sum{instance=~"$instance",target=~"$target",lun=~"$lun"}[$interval])) / sum by (target, initiator_group, lun, operation) (rate(srpt_lun_latency_seconds_count{instance=~"$instance",target=~"$target",lun=~"$lun"}[$interval]))"#,
                "{target} {initiator_group} LUN {lun} {operation}",
            )],
        },
        Panel {
            title: "Latency, 99 % of commands",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"histogram_quantile(0.99, sum by (target, initiator_group, lun, operation, le) (rate(srpt_lun_latency_seconds_bucket{instance=~"$instance",target=~"$target",lun=~"$lun"}[$interval])))"#,
                "{target} {initiator_group} LUN {lun} {operation}",
            )],
        },
        Panel {
            title: "Bytes of a read or write, mean",
            kind: Kind::Graph,
            unit: Unit::Bytes,
            width: 12,
            queries: &[query(
                r#"sum by (target, initiator_group, lun, operation) (rate(srpt_lun_bytes_total{instance=~"$instance",target=~"$target",lun=~"$lun",operation=~"read|write"}[$interval])) / sum by (target, initiator_group, lun, operation) (rate(srpt_lun_operations_total{instance=~"$instance",target=~"$target",lun=~"$lun",operation=~"read|write"}[$interval]))"#,
                "{target} {initiator_group} LUN {lun} {operation}",
            )],
        },
        Panel {
            title: "Commands that fail or are aborted",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[
                query(
                    r#"sum by (target, lun, status, sense_key) (rate(srpt_lun_errors_total{instance=~"$instance",target=~"$target",lun=~"$lun"}[$interval])) > 0"#,
                    "{target} LUN {lun} {status} {sense_key}",
                ),
                query(
                    r#"sum by (target, lun) (rate(srpt_lun_aborted_commands_total{instance=~"$instance",target=~"$target",lun=~"$lun"}[$interval])) > 0"#,
                    "{target} LUN {lun} aborted",
                ),
            ],
        },
        Panel {
            title: "Operations of the devices behind",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (bdev, operation) (rate(srpt_bdev_operations_total{instance=~"$instance"}[$interval]) and on (job, instance, bdev) srpt_lun_info{target=~"$target",lun=~"$lun"}) > 0"#,
                "{bdev} {operation}",
            )],
        },
        Panel {
            title: "Latency of the devices behind, 99 % of operations",
            kind: Kind::Graph,
            unit: Unit::Seconds,
            width: 12,
            queries: &[query(
                r#"histogram_quantile(0.99, sum by (bdev, operation, le) (rate(srpt_bdev_latency_seconds_bucket{instance=~"$instance"}[$interval]) and on (job, instance, bdev) srpt_lun_info{target=~"$target",lun=~"$lun"}))"#,
                "{bdev} {operation}",
            )],
        },
        Panel {
            title: "Operations at the devices behind",
            kind: Kind::Graph,
            unit: Unit::Number,
            width: 12,
            queries: &[query(
                r#"srpt_bdev_queue_depth{instance=~"$instance"} and on (job, instance, bdev) srpt_lun_info{target=~"$target",lun=~"$lun"}"#,
                "{bdev}",
            )],
        },
        Panel {
            title: "Errors of the devices behind",
            kind: Kind::Graph,
            unit: Unit::PerSecond,
            width: 12,
            queries: &[query(
                r#"sum by (bdev, reason) (rate(srpt_bdev_errors_total{instance=~"$instance"}[$interval]) and on (job, instance, bdev) srpt_lun_info{target=~"$target",lun=~"$lun"}) > 0"#,
                "{bdev} {reason}",
            )],
        },
    ],
};
