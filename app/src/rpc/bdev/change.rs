//! Bdevs that change while initiators use them: `bdev_null_resize`, `bdev_{uring,aio}_rescan` (SPDK's), `bdev_{uring,aio}_resize` and
//! `bdev_set_read_only` (ours). Initiators are told by unit attentions (SAM-5).

use std::sync::Arc;
use std::time::Duration;

use bdev::uring::{self, Replacement};
use bdev::{Bdev, null};
use reactor::Instant;
use rpc::{Errno, Pending, RpcError};
use schemars::JsonSchema;
use scsi::UnitAttention;
use serde::Deserialize;
use serde_json::Value;
use transport_srp::ExchangeState;

use super::{Name, create_error, find, find_of_kind};
use crate::appliance::Appliance;
use crate::rpc::Methods;

/// Commands on the old file may take so long before the log tells of it.
const EXCHANGE_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn add(methods: &mut Methods) {
    methods.add("bdev_null_resize", "Changes the size of a null device; initiators are told", resize_null);
    add_for_files(methods, "bdev_uring_rescan", "bdev_uring_resize", "URING bdev");
    add_for_files(methods, "bdev_aio_rescan", "bdev_aio_resize", "AIO disk");
    methods.add("bdev_set_read_only", "Protects a bdev from writing, or no longer; initiators are told", set_read_only);
}

fn add_for_files(
    methods: &mut Methods,
    rescan_method: &'static str,
    resize_method: &'static str,
    product: &'static str,
) {
    let summary = "Looks at the file or device again: whether it is there, is another one, or has another size; initiators are told";
    methods.add_deferred(rescan_method, summary, move |appliance, params: Name, pending| {
        rescan(appliance, &params.name, product, pending);
    });
    let summary = "Changes the size of the file; initiators are told";
    methods.add(resize_method, summary, move |appliance, params| resize_file(appliance, params, product));
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResizeNull {
    /// Name of the bdev.
    name: String,
    /// In MiB, as in SPDK.
    new_size: u64,
}

fn resize_null(appliance: &mut Appliance, params: ResizeNull) -> Result<bool, RpcError> {
    let bdev = find_of_kind(appliance, &params.name, "Null disk")?;
    let before = State::of(&bdev);
    let too_large = || RpcError::invalid_params(format!("new_size: {} MiB are more than 2^63 bytes", params.new_size));
    let bytes = params.new_size.checked_mul(1 << 20).ok_or_else(too_large)?;
    null::resize(&bdev, bytes / u64::from(bdev.info().block_size)).map_err(create_error)?;
    set_recipe(appliance, &params.name, "num_blocks", Some(bdev.num_blocks().into()));
    tell(appliance, &bdev, before);
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResizeFile {
    /// Name of the bdev.
    name: String,
    /// In bytes, as when it is created.
    size: u64,
    /// Whether it may become smaller, which cuts data off.
    #[serde(default)]
    allow_shrink: bool,
}

fn resize_file(appliance: &mut Appliance, params: ResizeFile, product: &str) -> Result<bool, RpcError> {
    let bdev = find_of_kind(appliance, &params.name, product)?;
    check_not_exchanged(appliance, "name", &params.name)?;
    if let (true, Some(user)) = (params.allow_shrink, appliance.bdev_user(&params.name)) {
        let text = format!("allow_shrink: bdev {} is in use by {user}: remove that first", params.name);
        return Err(RpcError::errno(Errno::BUSY, text));
    }
    let before = State::of(&bdev);
    uring::resize(&bdev, params.size, params.allow_shrink).map_err(create_error)?;
    // At the next start the file has to be there: one that is missing then must not be made anew, and empty.
    set_recipe(appliance, &params.name, "size", None);
    tell(appliance, &bdev, before);
    Ok(true)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetReadOnly {
    /// Name of the bdev.
    name: String,
    /// Whether initiators can only read.
    read_only: bool,
}

fn set_read_only(appliance: &mut Appliance, params: SetReadOnly) -> Result<bool, RpcError> {
    let bdev = Arc::clone(find(appliance, &params.name)?);
    let before = bdev.is_read_only();
    bdev.set_read_only(params.read_only).map_err(|error| RpcError::errno(Errno::PERM, error.to_string()))?;
    if bdev.is_read_only() != before {
        tracing::info!(
            "bdev {}: {}",
            params.name,
            if params.read_only { "read-only from now on" } else { "takes writes again" }
        );
        appliance.controller.bdev_changed(&params.name, UnitAttention::ModeParametersChanged);
    }
    Ok(true)
}

/// Another file that takes the place of a bdev's, until every core has it open.
pub(crate) struct Exchange {
    bdev: Arc<Bdev>,
    replacement: Replacement,
    before: State,
    since: Instant,
    told: bool,
    /// It is a disc that is put into a drive.
    disc: bool,
    pending: Pending,
}

fn rescan(appliance: &mut Appliance, name: &str, product: &str, pending: Pending) {
    let found = find_of_kind(appliance, name, product).and_then(|bdev| {
        check_not_exchanged(appliance, "name", name)?;
        let before = State::of(&bdev);
        let replacement = uring::rescan(&bdev).map_err(create_error)?;
        Ok((bdev, before, replacement))
    });
    match found {
        Err(error) => pending.reply(Err(error)),
        Ok((bdev, before, None)) => {
            tell_of_rescan(appliance, &bdev, before);
            pending.reply(Ok(Value::Bool(true)));
        }
        Ok((bdev, _, Some(replacement))) => start_exchange(appliance, bdev, replacement, false, pending),
    }
}

/// Puts another file in the place of a bdev's, and answers when every core has it open.
pub(crate) fn start_exchange(
    appliance: &mut Appliance,
    bdev: Arc<Bdev>,
    mut replacement: Replacement,
    disc: bool,
    pending: Pending,
) {
    let before = State::of(&bdev);
    appliance.controller.start_exchange(&bdev.info().name, || replacement.install(&bdev));
    let since = appliance.now;
    appliance.exchanges.push(Exchange { bdev, replacement, before, since, told: false, disc, pending });
    finish_exchanges(appliance);
}

/// Ends the exchanges for which every core is ready.
pub(crate) fn finish_exchanges(appliance: &mut Appliance) {
    for mut exchange in std::mem::take(&mut appliance.exchanges) {
        let name = exchange.bdev.info().name.clone();
        let state = appliance.controller.exchange_state(&name).unwrap_or(ExchangeState::Done);
        if state == ExchangeState::Working {
            if !exchange.told && appliance.now.since(exchange.since) > EXCHANGE_PATIENCE {
                tracing::warn!(
                    "bdev {name}: commands are still under way on the file that is being replaced; others wait for them"
                );
                exchange.told = true;
            }
            appliance.exchanges.push(exchange);
            continue;
        }
        let Exchange { bdev, replacement, before, disc, pending, .. } = exchange;
        replacement.finish(&bdev);
        // Whatever it is like, it is another medium.
        let attentions = attentions(&bdev, State { ready: false, ..before });
        if disc {
            appliance.controller.insert_disc(&name);
            set_recipe(appliance, &name, "filename", bdev.filename().map(|path| path.to_string_lossy().into()));
        }
        appliance.controller.end_exchange(&name, if disc { &[] } else { &attentions });
        set_recipe_after_rescan(appliance, &bdev, before);
        tracing::info!("bdev {name}: another file is in its place, of {} blocks", bdev.num_blocks());
        pending.reply(match state {
            ExchangeState::Failed => {
                let text = format!("name: bdev {name} has its new file, but could not be opened on every core: see the log, then remove its LUNs and add them again");
                Err(RpcError::errno(Errno::IO, text))
            }
            _ => Ok(Value::Bool(true)),
        });
    }
}

pub(crate) fn check_not_exchanged(appliance: &Appliance, parameter: &str, name: &str) -> Result<(), RpcError> {
    match appliance.exchanges.iter().any(|exchange| exchange.bdev.info().name == name) {
        true => Err(RpcError::errno(
            Errno::BUSY,
            format!("{parameter}: the file of bdev {name} is just being replaced: try again"),
        )),
        false => Ok(()),
    }
}

/// What a change is told by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    ready: bool,
    num_blocks: u64,
}

impl State {
    fn of(bdev: &Bdev) -> State {
        State { ready: bdev.is_ready(), num_blocks: bdev.num_blocks() }
    }
}

/// The initiators of a bdev, and of all that stand on it, learn what has changed.
fn tell(appliance: &mut Appliance, bdev: &Arc<Bdev>, before: State) {
    for attention in attentions(bdev, before) {
        appliance.controller.bdev_changed(&bdev.info().name, attention);
    }
}

fn tell_of_rescan(appliance: &mut Appliance, bdev: &Arc<Bdev>, before: State) {
    tell(appliance, bdev, before);
    set_recipe_after_rescan(appliance, bdev, before);
    let now = State::of(bdev);
    if now.num_blocks != before.num_blocks {
        tracing::info!(
            "bdev {}: its file has {} blocks now, not {}",
            bdev.info().name,
            now.num_blocks,
            before.num_blocks
        );
    }
    if now.ready && !before.ready {
        tracing::info!("bdev {}: its device is back", bdev.info().name);
    }
}

/// What initiators have to know, also those of bdevs that stand on it.
fn attentions(bdev: &Bdev, before: State) -> Vec<UnitAttention> {
    let now = State::of(bdev);
    let ready = (now.ready && !before.ready).then_some(UnitAttention::NotReadyToReady);
    let capacity = (now.num_blocks != before.num_blocks).then_some(UnitAttention::CapacityChanged);
    ready.into_iter().chain(capacity).collect()
}

/// A size that was asked for at first, and is not the file's any more, would stop the next start.
fn set_recipe_after_rescan(appliance: &mut Appliance, bdev: &Bdev, before: State) {
    if bdev.num_blocks() != before.num_blocks {
        set_recipe(appliance, &bdev.info().name, "size", None);
    }
}

/// What `save_config` writes for a parameter of the bdev's creation from now on; `None`: nothing.
pub(crate) fn set_recipe(appliance: &mut Appliance, name: &str, parameter: &str, value: Option<Value>) {
    let recipe = appliance.recipes.get_mut(name).and_then(|(_, recipe)| recipe.as_object_mut());
    match (recipe, value) {
        (Some(recipe), Some(value)) => drop(recipe.insert(parameter.to_owned(), value)),
        (Some(recipe), None) => drop(recipe.remove(parameter)),
        (None, _) => {}
    }
}
