//! Devices of SCST's handlers, as bdevs. `attribute` is the table of what becomes of each attribute.

use serde_json::{Map, Value, json};

use super::stanza::Statement;
use super::{account, number};
use crate::import::notes::Notes;
use crate::import::setup::Device;

/// What a handler serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A file through the page cache.
    File,
    /// A block device past the page cache.
    Block,
    Null,
    Cd,
    /// A SCSI device of the host.
    Through,
}

/// Size of a null device that does not say how large it is.
const NULL_BYTES: u64 = 5 << 39;

/// Bytes of a block where none are said.
const BLOCK_BYTES: u64 = 512;

/// Block sizes that there are.
const BLOCK_SIZES: [u64; 4] = [512, 1024, 2048, 4096];

/// A device; none if there is no equivalent, which is told.
pub(super) fn convert(handler: &str, statement: &Statement, notes: &mut Notes) -> Option<Device> {
    let name = statement.word(1);
    let Some(kind) = kind(handler) else {
        let why = match handler {
            handler if handler.ends_with("_perf") => {
                "reads and writes through it never reach the device, for measuring"
            }
            "scst_user" | "dev_user" => "a program of the user's serves it",
            _ => "there is no such handler here",
        };
        notes.warn(statement.line, format!("device {name} of {handler}: {why}; it is left out"));
        account(&statement.block, notes);
        return None;
    };
    notes.used(statement.line);
    let mut made = Made::new(kind, statement);
    for inner in &statement.block {
        made.take(inner, notes);
        account(&inner.block, notes);
    }
    made.device(notes)
}

fn kind(handler: &str) -> Option<Kind> {
    match handler {
        "vdisk_fileio" | "vdisk" => Some(Kind::File),
        "vdisk_blockio" => Some(Kind::Block),
        "vdisk_nullio" => Some(Kind::Null),
        "vcdrom" => Some(Kind::Cd),
        "dev_disk" | "dev_tape" | "dev_changer" | "dev_cdrom" | "dev_modisk" | "dev_processor" | "dev_raid" => {
            Some(Kind::Through)
        }
        _ => None,
    }
}

/// Whether a device is named by its place, `H:C:I:L`.
pub(super) fn is_scsi_address(name: &str) -> bool {
    name.split(':').count() == 4
        && name.split(':').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A SCSI device of the host.
pub(super) fn passed_through(line: usize, name: &str) -> Device {
    let params = Map::from_iter([("name".into(), name.into()), ("device".into(), name.into())]);
    Device { line, name: name.to_owned(), method: "bdev_scsi_create", params, unit: Map::new() }
}

/// Whether an attribute is set; one without a value is.
pub(super) fn flag(statement: &Statement, name: &str) -> bool {
    statement.block.iter().any(|inner| inner.name() == name && is_set(inner.word(1)))
}

fn is_set(value: &str) -> bool {
    !matches!(value, "0" | "no" | "false")
}

/// What becomes of an attribute.
enum Fate {
    /// A parameter of the bdev.
    Bdev(&'static str, Value),
    /// A parameter of the LUN.
    Unit(&'static str, Value),
    /// It is used otherwise, or says what is so anyway.
    Used,
    Remark(&'static str),
    Warning(&'static str),
    /// The attribute's value is none that can be used.
    Wrong(&'static str),
}

fn attribute(kind: Kind, name: &str, value: &str) -> Fate {
    let set = is_set(value);
    let file = matches!(kind, Kind::File | Kind::Block);
    match name {
        // Read by `Made` itself: they belong together.
        "filename" | "blocksize" | "size" | "size_mb" | "write_through" | "nv_cache" | "opt_trans_len"
        | "expl_alua" => Fate::Used,
        "read_only" if file => Fate::Bdev("readonly", set.into()),
        "read_only" if kind == Kind::Cd => Fate::Used,
        "o_direct" if kind == Kind::File => Fate::Bdev("direct", set.into()),
        "async" => Fate::Used,
        "thin_provisioned" if file => Fate::Bdev("thin_provisioned", set.into()),
        "rotational" if file => Fate::Bdev("rotational", set.into()),
        "removable" if file => Fate::Bdev("removable", set.into()),
        "removable" if kind == Kind::Cd => Fate::Used,
        "t10_vend_id" => text("vendor", value, 8),
        "prod_id" => text("product", value, 16),
        "prod_rev_lvl" => text("revision", value, 4),
        "usn" => text("serial", value, 64),
        "naa_id" => naa(value),
        "eui64_id" => eui64(value),
        "max_tgt_dev_commands" => match number(value) {
            Some(0) => Fate::Used,
            Some(depth @ 1..=65535) => Fate::Unit("queue_depth", depth.into()),
            _ => Fate::Wrong("1 to 65535 are needed"),
        },
        "t10_dev_id" => Fate::Warning("the T10 designator (VPD 83h) is made of vendor, product and serial number"),
        "scsi_device_name" | "inq_vend_specific" | "vend_specific_id" => {
            Fate::Warning("units do not tell such a thing")
        }
        "active" if set => Fate::Used,
        "active" => Fate::Warning("the device was closed; here a bdev that is there is open"),
        "cluster_mode" if !set => Fate::Used,
        "cluster_mode" => Fate::Warning("reservations are not shared with other hosts"),
        "bind_alua_state" if !set => Fate::Used,
        "bind_alua_state" => Fate::Warning("files stay open whatever the access state is"),
        "pr_file_name" => Fate::Warning("reservations are kept in --state-dir; those of SCST are not taken over"),
        "dif_mode" | "dif_type" | "dif_static_app_tag" | "dif_filename" => {
            Fate::Warning("protection information is kept in another form (md_size, dif_type); the bdev has none")
        }
        "dummy" if !set => Fate::Used,
        "dummy" => Fate::Remark("a LUN 0 that stands for none needs no device here; it is a null device"),
        "read_zero" => Fate::Remark("null devices always read as zeroes"),
        "threads_num" | "threads_pool_type" | "numa_node_id" => {
            Fate::Remark("reactors do the work; srpt-app -m says on which cores")
        }
        "tst" => Fate::Remark("each unit has one task set"),
        "lb_per_pb_exp" => Fate::Remark("the size of a physical block is told as the file system or device has it"),
        "block"
        | "dump_prs"
        | "resync_size"
        | "sync"
        | "gen_tp_soft_threshold_reached_UA"
        | "inquiry_data"
        | "prod_id_" => Fate::Remark("no setting, but something to be done"),
        _ => Fate::Warning("an attribute without an equivalent"),
    }
}

/// A text that INQUIRY shows.
fn text(parameter: &'static str, value: &str, most: usize) -> Fate {
    let fits = (1..=most).contains(&value.len())
        && value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && value.trim() == value;
    if fits {
        Fate::Unit(parameter, value.into())
    } else {
        Fate::Wrong("it is too long for us, or has characters that INQUIRY does not take")
    }
}

fn naa(value: &str) -> Fate {
    let digits = value.trim_start_matches("0x");
    match u64::from_str_radix(digits, 16) {
        Ok(naa) if digits.len() == 16 && matches!(naa >> 60, 2 | 3 | 5) => {
            Fate::Unit("naa", format!("{naa:#018x}").into())
        }
        _ => {
            Fate::Wrong("8 bytes that begin with 2, 3 or 5 are needed; the NAA designator follows from the bdev's UUID")
        }
    }
}

fn eui64(value: &str) -> Fate {
    let digits = value.trim_start_matches("0x").to_ascii_lowercase();
    let fits = matches!(digits.len(), 16 | 24 | 32) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits {
        Fate::Unit("eui64", format!("0x{digits}").into())
    } else {
        Fate::Wrong("16, 24 or 32 hex digits are needed")
    }
}

/// A device in the making.
struct Made<'a> {
    kind: Kind,
    statement: &'a Statement,
    params: Map<String, Value>,
    unit: Map<String, Value>,
}

impl Made<'_> {
    fn new(kind: Kind, statement: &Statement) -> Made<'_> {
        let params = Map::from_iter([("name".into(), statement.word(1).into())]);
        Made { kind, statement, params, unit: Map::new() }
    }

    fn take(&mut self, attribute: &Statement, notes: &mut Notes) {
        let (name, line) = (attribute.name(), attribute.line);
        if self.kind == Kind::Through {
            return notes
                .warn(line, format!("{name}: a SCSI device that is passed through has its own; it is left out"));
        }
        match self::attribute(self.kind, name, attribute.word(1)) {
            Fate::Used => notes.used(line),
            Fate::Bdev(parameter, value) => {
                notes.used(line);
                self.params.insert(parameter.into(), value);
            }
            Fate::Unit(parameter, value) => {
                notes.used(line);
                self.unit.insert(parameter.into(), value);
            }
            Fate::Remark(why) => notes.remark(line, format!("{name}: {why}")),
            Fate::Warning(why) => notes.warn(line, format!("{name}: {why}; it is left out")),
            Fate::Wrong(why) => notes.warn(line, format!("{name} {}: {why}; it is left out", attribute.word(1))),
        }
    }

    /// The last value of an attribute, and its line.
    fn value(&self, name: &str) -> Option<(usize, &str)> {
        let found = self.statement.block.iter().rev().find(|inner| inner.name() == name);
        found.map(|inner| (inner.line, inner.word(1)))
    }

    fn device(mut self, notes: &mut Notes) -> Option<Device> {
        let (line, name) = (self.statement.line, self.statement.word(1).to_owned());
        if self.kind == Kind::Through {
            let scsi = is_scsi_address(&name);
            if !scsi {
                notes.warn(line, format!("device {name}: H:C:I:L is needed; it is left out"));
            }
            return scsi.then(|| passed_through(line, &name));
        }
        let block_bytes = self.block_bytes(notes)?;
        match self.kind {
            Kind::Null => self.put_null(block_bytes, notes),
            _ => self.put_file(block_bytes, notes)?,
        }
        let method = if self.kind == Kind::Null { "bdev_null_create" } else { "bdev_uring_create" };
        Some(Device { line, name, method, params: self.params, unit: self.unit })
    }

    /// The size of a block, if one is said. Data that was written in blocks of another size cannot be read.
    fn block_bytes(&self, notes: &mut Notes) -> Option<Option<u64>> {
        let Some((line, text)) = self.value("blocksize") else { return Some(None) };
        match number(text).filter(|size| BLOCK_SIZES.contains(size)) {
            Some(size) => Some(Some(size)),
            None => {
                notes.warn(
                    line,
                    format!("blocksize {text}: there are 512, 1024, 2048 and 4096; the device is left out"),
                );
                None
            }
        }
    }

    fn put_null(&mut self, block_bytes: Option<u64>, notes: &mut Notes) {
        let block_bytes = block_bytes.unwrap_or(BLOCK_BYTES);
        let mut bytes = NULL_BYTES;
        for (attribute, unit) in [("size", 1), ("size_mb", 1 << 20)] {
            let Some((line, text)) = self.value(attribute) else { continue };
            match number(text).and_then(|count| count.checked_mul(unit)).filter(|bytes| bytes / block_bytes > 0) {
                Some(given) => bytes = given,
                None => notes.warn(line, format!("{attribute} {text}: no size; {NULL_BYTES} bytes are chosen")),
            }
        }
        if let Some((line, _)) = self.value("filename") {
            notes.warn(line, "filename: a null device has none; it is left out");
        }
        for name in ["write_through", "nv_cache", "opt_trans_len"] {
            if let Some((line, _)) = self.value(name) {
                notes.remark(line, format!("{name}: means nothing for a null device"));
            }
        }
        self.params.insert("num_blocks".into(), (bytes / block_bytes).into());
        self.params.insert("block_size".into(), block_bytes.into());
    }

    fn put_file(&mut self, block_bytes: Option<u64>, notes: &mut Notes) -> Option<()> {
        let line = self.statement.line;
        let Some((_, filename)) = self.value("filename").filter(|(_, name)| !name.is_empty()) else {
            let why = if self.kind == Kind::Cd {
                "an empty drive needs an image here, at least the name of one"
            } else {
                "it has no filename"
            };
            notes.warn(line, format!("device {}: {why}; it is left out", self.statement.word(1)));
            return None;
        };
        let filename = filename.to_owned();
        self.params.insert("filename".into(), filename.into());
        for name in ["size", "size_mb"] {
            if let Some((line, _)) = self.value(name) {
                notes.warn(line, format!("{name}: the size is that of the file; it is left out"));
            }
        }
        if self.kind == Kind::Cd {
            self.params.insert("block_size".into(), 2048.into());
            self.params.insert("readonly".into(), true.into());
            self.unit.insert("device_type".into(), "cdrom".into());
            return Some(());
        }
        if let Some(size) = block_bytes {
            self.params.insert("block_size".into(), size.into());
        }
        // Files went through the page cache unless they were told otherwise, and block devices never did.
        self.params.entry("direct").or_insert((self.kind == Kind::Block).into());
        self.put_caches(notes);
        self.put_optimal_length(block_bytes.unwrap_or(BLOCK_BYTES), notes);
        Some(())
    }

    fn put_caches(&mut self, notes: &mut Notes) {
        let flag = |name| self.value(name).filter(|(_, value)| is_set(value)).map(|(line, _)| line);
        let (write_through, nv_cache) = (flag("write_through"), flag("nv_cache"));
        if let (Some(_), Some(line)) = (write_through, nv_cache) {
            notes.warn(line, "nv_cache: not together with write_through, which is the safer one and chosen");
        }
        if write_through.is_some() {
            self.params.insert("write_through".into(), true.into());
        } else if let Some(line) = nv_cache {
            notes.remark(
                line,
                "nv_cache: kept: as before, nothing is flushed, and what is in caches is lost with the power",
            );
            self.params.insert("nv_cache".into(), true.into());
        }
    }

    fn put_optimal_length(&mut self, block_bytes: u64, notes: &mut Notes) {
        let Some((line, text)) = self.value("opt_trans_len") else { return };
        match number(text).filter(|bytes| bytes % block_bytes == 0 && u32::try_from(bytes / block_bytes).is_ok()) {
            Some(bytes) => {
                self.params.insert("optimal_blocks".into(), json!(bytes / block_bytes));
            }
            None => notes.warn(line, format!("opt_trans_len {text}: no multiple of the block size; it is left out")),
        }
    }
}
