//! `framework_*_scheduler`: by what policy new channels come to reactors.

use std::time::Duration;

use rpc::{NoParams, RpcError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Methods, refuse};
use crate::appliance::Appliance;
use crate::scheduler::{Policy, Scheduler};

/// Shortest period: ten times the longest sleep of a reactor, which tells how it spent its time when it wakes.
const PERIOD_MIN_US: u64 = 100_000;

/// Longest period: an hour.
const PERIOD_MAX_US: u64 = 3_600_000_000;

pub(super) fn add(methods: &mut Methods) {
    methods.add(
        "framework_set_scheduler",
        "Chooses the policy by which new channels come to reactors, after those of one session have been spread over all; channels that are \
         there stay where they are",
        set_scheduler,
    );
    methods.add(
        "framework_get_scheduler",
        "Answers the policy by which new channels come to reactors (`scheduler_name`), and the time between two looks at how busy these \
         are (`scheduler_period`, in microseconds); channels that are there stay where they are",
        |appliance: &mut Appliance, _: NoParams| {
            let scheduler = &appliance.scheduler;
            Ok(json!({"scheduler_name": scheduler.policy().name(), "scheduler_period": period_us(scheduler)}))
        },
    );
}

/// The request of a configuration that has the policy.
pub(crate) fn save(appliance: &Appliance) -> Value {
    let scheduler = &appliance.scheduler;
    let params = json!({"name": scheduler.policy().name(), "period": period_us(scheduler)});
    json!({"method": "framework_set_scheduler", "params": params})
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetScheduler {
    /// static: the fewest channels decide. dynamic: they decide among reactors that were not clearly busier (by 10 % of their time) than another.
    name: String,
    /// Microseconds between two looks at how busy reactors are, 100000 to 3600000000. Left out: as it is; 1000000 at first.
    period: Option<u64>,
    /// SPDK: how busy a thread must be to be moved. Channels are never moved: leave it out.
    load_limit: Option<u64>,
    /// SPDK: how busy a core must be to be full. Reactors are compared with each other: leave it out.
    core_limit: Option<u64>,
    /// SPDK: how busy a core must be for threads to be moved away. Channels are never moved: leave it out.
    core_busy: Option<u64>,
    /// SPDK: which thread is to be on which core. Channels are not placed by name: leave it out.
    mappings: Option<String>,
}

fn set_scheduler(appliance: &mut Appliance, params: SetScheduler) -> Result<bool, RpcError> {
    refuse("load_limit", params.load_limit.is_some())?;
    refuse("core_limit", params.core_limit.is_some())?;
    refuse("core_busy", params.core_busy.is_some())?;
    refuse("mappings", params.mappings.is_some())?;
    let policy = Policy::of_name(&params.name);
    let policy = policy.ok_or_else(|| RpcError::invalid_params("name: static or dynamic"))?;
    let period = params.period.unwrap_or_else(|| period_us(&appliance.scheduler));
    if !(PERIOD_MIN_US..=PERIOD_MAX_US).contains(&period) {
        let text = format!(
            "period: {PERIOD_MIN_US} to {PERIOD_MAX_US} microseconds; leave it out to keep the one that is set"
        );
        return Err(RpcError::invalid_params(text));
    }
    appliance.scheduler.set(policy, Duration::from_micros(period));
    Ok(true)
}

fn period_us(scheduler: &Scheduler) -> u64 {
    u64::try_from(scheduler.period().as_micros()).unwrap_or(u64::MAX)
}
