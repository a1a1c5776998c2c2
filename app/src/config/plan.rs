//! What leads from one configuration to another. Pure: two models in, requests out.
//!
//! What is equal in both is in no request. What differs is changed in place where there is a method for it; else it is taken away and made
//! again, with all that stands on it. The order of things:
//!
//! 1. New bdevs that need nothing of what goes: where most mistakes show, before anything is touched that initiators use.
//! 2. Limits, histograms and write protection.
//! 3. Targets that go or change, then groups, whose members are decided before more is shown. A new group with a map of its own takes
//!    nobody in before the map is complete.
//! 4. LUNs: added, then replaced, then removed, so that a unit that is shown elsewhere is never without a LUN, and keeps its reservations.
//! 5. Bdevs that go or change, uppermost first; those that are made again; their LUNs.
//! 6. Groups that go, when others can take their members. Discs, target port groups, the scheduler, listeners.
//! 7. Files that grow, as late as can be, because none is made smaller again if something after it fails.
//!
//! While requests are written down, they are carried out on a model of what is running (`work`), so that each is written for what there is
//! when its turn comes.

mod bdevs;
mod luns;
mod srp;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rpc::Request;
use serde_json::Value;

use super::model::{Key, Model};
use super::params::{Misfit, Params};

/// A request and what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) request: Request,
    pub(crate) key: Key,
}

/// What cannot be done, and whose wish it is.
#[derive(Clone, Debug)]
pub(crate) struct Impossible {
    pub(crate) key: Key,
    pub(crate) text: String,
}

/// How to compare.
pub(crate) struct Rules<'a> {
    /// No file is to have another size than it has.
    pub(crate) keep_sizes: bool,
    /// Makings that are other things than those that are wanted, however equal they look.
    pub(crate) others: BTreeSet<String>,
    /// The one path of a file that has several.
    pub(crate) resolve: &'a dyn Fn(&Path) -> PathBuf,
}

/// The requests that make `wanted` of `now`.
///
/// # Errors
/// There are none.
pub(crate) fn plan(now: &Model, wanted: &Model, rules: &Rules<'_>) -> Result<Vec<Step>, Impossible> {
    let mut wanted = wanted.clone();
    wanted.settle(now, rules.keep_sizes);
    let mut planner = Planner {
        work: now.clone(),
        wanted,
        gone: BTreeSet::new(),
        gone_clusters: BTreeSet::new(),
        stale: BTreeSet::new(),
        claimed: BTreeSet::new(),
        closed: Vec::new(),
        steps: Vec::new(),
    };
    planner.look(rules)?;
    planner.make_what_needs_nothing(rules)?;
    planner.change_settings()?;
    planner.replace_targets()?;
    planner.shape_groups()?;
    planner.add_luns(luns::Which::Possible)?;
    planner.replace_luns()?;
    planner.remove_luns()?;
    planner.delete_bdevs()?;
    planner.make_the_rest()?;
    planner.add_luns(luns::Which::All)?;
    planner.open_groups()?;
    planner.delete_groups()?;
    planner.change_discs()?;
    planner.shape_port_groups()?;
    planner.set_scheduler()?;
    planner.shape_listeners()?;
    planner.grow_the_rest()?;
    planner.set_log_level()?;
    planner.set_slow_threshold()?;
    Ok(planner.steps)
}

struct Planner {
    /// What is there after the steps so far.
    work: Model,
    wanted: Model,
    /// Makings that are to go, or to be made again.
    gone: BTreeSet<String>,
    gone_clusters: BTreeSet<String>,
    /// Bdevs whose unit is to have another identity.
    stale: BTreeSet<String>,
    /// What nobody can have before those have gone.
    claimed: BTreeSet<String>,
    /// New groups that take nobody in yet.
    closed: Vec<String>,
    steps: Vec<Step>,
}

impl Planner {
    /// Finds out what cannot stay.
    fn look(&mut self, rules: &Rules<'_>) -> Result<(), Impossible> {
        self.look_at_bdevs(rules)?;
        self.check_unnumbered_luns()?;
        let differs = |(bdev, unit): (&String, &super::model::targets::Unit)| {
            let wanted = self.wanted.units.get(bdev)?;
            (wanted.identity != unit.identity).then(|| bdev.clone())
        };
        self.stale = self.work.units.iter().filter_map(differs).collect();
        Ok(())
    }

    /// Writes a request down.
    fn emit(&mut self, key: Key, method: &str, params: Value) -> Result<(), Impossible> {
        let object: Params = match params {
            Value::Object(object) => object,
            _ => Params::new(),
        };
        match self.work.apply(method, &object) {
            Ok(key) => {
                let request = Request { method: method.to_owned(), params: Some(Value::Object(object)) };
                self.steps.push(Step { request, key });
                Ok(())
            }
            Err(Misfit(text)) => Err(Impossible { key, text: format!("{method}: {text}") }),
        }
    }

    fn set_scheduler(&mut self) -> Result<(), Impossible> {
        let (scheduler, period_us) = (self.wanted.scheduler.clone(), self.wanted.scheduler_period_us);
        let is_so = self.work.scheduler == scheduler && self.work.scheduler_period_us == period_us;
        let Some(name) = scheduler.filter(|_| !is_so) else { return Ok(()) };
        let mut params = serde_json::json!({"name": name});
        if let Some(period_us) = period_us {
            params["period"] = period_us.into();
        }
        self.emit(Key::Scheduler, "framework_set_scheduler", params)
    }

    fn set_slow_threshold(&mut self) -> Result<(), Impossible> {
        match self.wanted.slow_threshold_us.filter(|us| self.work.slow_threshold_us.unwrap_or(0) != *us) {
            Some(us) => {
                let params = serde_json::json!({"microseconds": us});
                self.emit(Key::SlowThreshold, "srpt_set_slow_threshold", params)
            }
            None => Ok(()),
        }
    }

    fn set_log_level(&mut self) -> Result<(), Impossible> {
        match self.wanted.log_level.clone().filter(|level| self.work.log_level.as_ref() != Some(level)) {
            Some(level) => self.emit(Key::LogLevel, "log_set_level", serde_json::json!({"level": level})),
            None => Ok(()),
        }
    }
}
