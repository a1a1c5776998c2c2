//! What srptctl can do: a table of nouns and verbs, each with the method that it calls or the code of its own.
//!
//! To make a new method reachable, add a line. Its options, their help and their checks come from the method's own description
//! (`methods.rs`); a test fails for a method that no verb reaches.

use crate::commands::{self, Own};
use crate::output::views::{self, View};

/// A verb with its nouns, such as `bdev create null`.
pub(crate) struct Verb {
    pub(crate) path: &'static str,
    pub(crate) action: Action,
    /// Parameters that are given by place instead of by option, in this order.
    pub(crate) positional: &'static [&'static str],
    /// Parameters that one need not give here, with what is sent instead.
    pub(crate) defaults: &'static [(&'static str, &'static str)],
    /// Parameters that are not offered.
    pub(crate) hidden: &'static [&'static str],
    /// Show the one entry of the answer that has this member, as the first argument says.
    pub(crate) select: Option<&'static str>,
    pub(crate) view: View,
}

/// What a verb does.
pub(crate) enum Action {
    /// It calls a method.
    Call(&'static str),
    /// It calls the method for the kind of bdev that is named. The first one's parameters are the verb's.
    ByKind(&'static [KindMethod]),
    /// It has code of its own.
    Own(Own),
}

/// The method for one kind of bdev.
pub(crate) struct KindMethod {
    /// `product_name` of the bdev.
    pub(crate) product: &'static str,
    pub(crate) method: &'static str,
}

impl Verb {
    /// All methods that it may call.
    #[cfg(test)]
    pub(crate) fn methods(&self) -> Vec<&'static str> {
        match &self.action {
            Action::Call(method) => vec![method],
            Action::ByKind(kinds) => [GET_BDEVS].into_iter().chain(kinds.iter().map(|kind| kind.method)).collect(),
            Action::Own(own) => own.methods.to_vec(),
        }
    }

    const fn by_place(mut self, names: &'static [&'static str]) -> Verb {
        self.positional = names;
        self
    }

    const fn default(mut self, defaults: &'static [(&'static str, &'static str)]) -> Verb {
        self.defaults = defaults;
        self
    }

    const fn without(mut self, names: &'static [&'static str]) -> Verb {
        self.hidden = names;
        self
    }

    const fn select(mut self, member: &'static str) -> Verb {
        self.select = Some(member);
        self
    }

    const fn shown(mut self, view: View) -> Verb {
        self.view = view;
        self
    }
}

const fn verb(path: &'static str, action: Action) -> Verb {
    Verb { path, action, positional: &[], defaults: &[], hidden: &[], select: None, view: View::Plain }
}

const fn call(path: &'static str, method: &'static str) -> Verb {
    verb(path, Action::Call(method))
}

const fn own(path: &'static str, own: Own) -> Verb {
    verb(path, Action::Own(own))
}

/// How a bdev's kind is found out.
pub(crate) const GET_BDEVS: &str = "bdev_get_bdevs";

const fn kind(product: &'static str, method: &'static str) -> KindMethod {
    KindMethod { product, method }
}

const DELETE: &[KindMethod] = &[
    kind("URING bdev", "bdev_uring_delete"),
    kind("AIO disk", "bdev_aio_delete"),
    kind("Null disk", "bdev_null_delete"),
    kind("Malloc disk", "bdev_malloc_delete"),
    kind("SCSI device", "bdev_scsi_delete"),
    kind("Ceph Rbd Disk", "bdev_rbd_delete"),
    kind("delay", "bdev_delay_delete"),
    kind("Error Injection Disk", "bdev_error_delete"),
];

const RESIZE: &[KindMethod] = &[
    kind("URING bdev", "bdev_uring_resize"),
    kind("AIO disk", "bdev_aio_resize"),
    kind("Null disk", "bdev_null_resize"),
    kind("Ceph Rbd Disk", "bdev_rbd_resize"),
];

const RESCAN: &[KindMethod] = &[kind("URING bdev", "bdev_uring_rescan"), kind("AIO disk", "bdev_aio_rescan")];

/// The nouns, with what they stand for.
pub(crate) const NOUNS: &[(&str, &str)] = &[
    ("bdev", "Block devices: files, disks, RAM, and devices that stand on others"),
    ("bdev create", "Make a bdev, by its kind"),
    ("ceph", "Connections to Ceph clusters"),
    ("target", "Targets, which initiators address by id_ext and ioc_guid"),
    ("lun", "LUNs of a target: which bdevs initiators see"),
    ("group", "Initiator groups: who may log in, and LUN maps of their own"),
    ("port-group", "Target port groups (ALUA): access states of paths"),
    ("listener", "Where logins are taken"),
    ("session", "Sessions of initiators"),
    ("reservation", "Reservations and registrations of initiators"),
    ("cdrom", "CD drives: discs in and out"),
    ("device", "RDMA devices"),
    ("reactor", "Reactors: one polling thread for each core"),
    ("scheduler", "Which reactors new channels come to"),
    ("poller", "Pollers of the reactors"),
    ("log", "What the target logs"),
    ("trace", "What happened lately, and which commands took long"),
    ("config", "Whole configurations, in SPDK's JSON form"),
    ("import", "Turn the set-up of another target into a configuration"),
    ("export", "Write the running configuration for another target"),
];

/// All verbs, as help lists them.
pub(crate) const VERBS: &[Verb] = &[
    call("bdev list", GET_BDEVS).without(&["name", "timeout"]).shown(views::BDEVS),
    call("bdev show", GET_BDEVS).by_place(&["name"]).without(&["timeout"]).select("name"),
    call("bdev create null", "bdev_null_create").by_place(&["name"]).default(BLOCKS),
    call("bdev create malloc", "bdev_malloc_create").by_place(&["name"]).default(BLOCKS),
    call("bdev create uring", "bdev_uring_create").by_place(&["name", "filename"]).without(&["fallocate", "nowait"]),
    call("bdev create aio", "bdev_aio_create").by_place(&["name", "filename"]),
    call("bdev create scsi", "bdev_scsi_create").by_place(&["name", "device"]),
    call("bdev create rbd", "bdev_rbd_create").by_place(&["pool_name", "rbd_name"]).default(BLOCKS),
    call("bdev create delay", "bdev_delay_create").by_place(&["name", "base_bdev_name"]).default(NO_DELAY),
    call("bdev create error", "bdev_error_create").by_place(&["base_name"]),
    call("bdev create split", "bdev_split_create").by_place(&["base_bdev", "split_count"]),
    verb("bdev delete", Action::ByKind(DELETE)).by_place(&["name"]),
    call("bdev unsplit", "bdev_split_delete").by_place(&["base_bdev"]),
    verb("bdev resize", Action::ByKind(RESIZE)).by_place(&["name", "size"]),
    verb("bdev rescan", Action::ByKind(RESCAN)).by_place(&["name"]),
    call("bdev set-read-only", "bdev_set_read_only").by_place(&["name", "read_only"]).default(&[("read_only", "true")]),
    call("bdev qos", "bdev_set_qos_limit").by_place(&["name"]),
    call("bdev stats", "bdev_get_iostat").by_place(&["names"]).without(&["name"]).shown(views::IOSTAT),
    call("bdev reset-stats", "bdev_reset_iostat").by_place(&["name"]),
    call("bdev set-histogram", "bdev_enable_histogram").by_place(&["name", "enable"]).default(&[("enable", "true")]),
    call("bdev histogram", "bdev_get_histogram").by_place(&["name"]),
    call("bdev latencies", "bdev_get_histogram_borders").by_place(&["name", "borders"]),
    call("bdev set-delay", "bdev_delay_update_latency").by_place(&["delay_bdev_name", "latency_type", "latency_us"]),
    call("bdev inject-error", "bdev_error_inject_error").by_place(&["name", "io_type", "error_type"]),
    call("bdev resume-pending", "bdev_error_resume_pending").by_place(&["name"]),
    call("ceph list", "bdev_rbd_get_clusters_info"),
    call("ceph register", "bdev_rbd_register_cluster").by_place(&["name"]),
    call("ceph unregister", "bdev_rbd_unregister_cluster").by_place(&["name"]),
    call("target list", "srp_get_targets").shown(views::TARGETS),
    call("target show", "srp_get_targets").select("name"),
    call("target create", "srp_create_target").by_place(&["name", "id_ext", "ioc_guid"]),
    call("target delete", "srp_delete_target").by_place(&["name"]),
    call("lun list", "srp_get_targets").shown(views::LUNS),
    call("lun add", "srp_target_add_lun").by_place(&["target", "bdev_name"]),
    call("lun remove", "srp_target_remove_lun").by_place(&["target", "lun"]),
    call("lun replace", "srp_target_replace_lun").by_place(&["target", "lun", "bdev_name"]),
    call("group list", "srp_get_initiator_groups").shown(views::GROUPS),
    call("group show", "srp_get_initiator_groups").select("name"),
    call("group create", "srp_create_initiator_group").by_place(&["name", "initiators"]),
    call("group delete", "srp_delete_initiator_group").by_place(&["name"]),
    call("group add-initiator", "srp_initiator_group_add_initiator").by_place(&["group", "initiator"]),
    call("group remove-initiator", "srp_initiator_group_remove_initiator").by_place(&["group", "initiator"]),
    call("group add-lun", "srp_initiator_group_add_lun").by_place(&["group", "bdev_name"]),
    call("group remove-lun", "srp_initiator_group_remove_lun").by_place(&["group", "lun"]),
    call("group replace-lun", "srp_initiator_group_replace_lun").by_place(&["group", "lun", "bdev_name"]),
    call("group set-luns", "srp_initiator_group_set_luns").by_place(&["group", "luns"]),
    call("group move", "srp_initiator_group_move").by_place(&["group", "before"]),
    call("port-group list", "srp_get_target_port_groups").shown(views::PORT_GROUPS),
    call("port-group show", "srp_get_target_port_groups").select("name"),
    call("port-group create", "srp_create_target_port_group").by_place(&["name"]),
    call("port-group delete", "srp_delete_target_port_group").by_place(&["name"]),
    call("port-group add-target", "srp_target_port_group_add_target").by_place(&["group", "target"]),
    call("port-group remove-target", "srp_target_port_group_remove_target").by_place(&["group", "target"]),
    call("port-group set-state", "srp_target_port_group_set_state").by_place(&["group", "state"]),
    call("port-group clear-state", "srp_target_port_group_clear_state").by_place(&["group", "bdev_name"]),
    call("listener list", "srp_get_listeners").shown(views::LISTENERS),
    call("listener create", "srp_create_listener")
        .by_place(&["address", "port"])
        .default(PORT)
        .without(&["interface", "family"]),
    call("listener create-interface", "srp_create_listener")
        .by_place(&["interface", "port"])
        .default(PORT)
        .without(&["address"]),
    call("listener delete", "srp_delete_listener").by_place(&["address", "port"]).default(PORT).without(&["interface"]),
    call("listener delete-interface", "srp_delete_listener")
        .by_place(&["interface", "port"])
        .default(PORT)
        .without(&["address"]),
    call("session list", "srp_get_sessions").shown(views::SESSIONS),
    call("session show", "srp_get_sessions").select("id"),
    call("session close", "srp_close_session").by_place(&["id"]),
    call("reservation list", "srp_get_reservations").by_place(&["bdev_name"]).shown(views::RESERVATIONS),
    call("reservation clear", "srp_clear_reservations").by_place(&["bdev_name"]),
    call("cdrom eject", "srp_cdrom_eject").by_place(&["bdev_name"]),
    call("cdrom insert", "srp_cdrom_insert").by_place(&["bdev_name", "filename"]),
    call("device list", "srp_get_devices").shown(views::DEVICES),
    call("reactor list", "framework_get_reactors").shown(views::REACTORS),
    call("poller list", "thread_get_pollers").shown(views::POLLERS),
    call("scheduler get", "framework_get_scheduler"),
    call("scheduler set", "framework_set_scheduler").by_place(&["name"]).without(NO_SCHEDULING),
    call("log get", "log_get_level"),
    call("log set", "log_set_level").by_place(&["level"]),
    call("trace dump", "srpt_trace_dump").by_place(&["max"]).shown(views::EVENTS),
    call("trace clear", "srpt_trace_clear"),
    call("trace slow", "srpt_get_slow_commands").shown(views::SLOW_COMMANDS),
    call("trace set-threshold", "srpt_set_slow_threshold").by_place(&["microseconds"]),
    own("config show", commands::config::SHOW),
    own("config save", commands::config::SAVE),
    own("config load", commands::config::LOAD),
    own("config apply", commands::config::APPLY),
    own("config diff", commands::config::DIFF),
    own("config check", commands::config::CHECK),
    call("config parts", "framework_get_subsystems"),
    call("stats", "srp_get_stats"),
    own("top", commands::top::TOP),
    own("login-info", commands::login_info::LOGIN_INFO),
    own("discover", commands::discover::DISCOVER),
    own("import scst", commands::import::SCST),
    own("import targetcli", commands::import::TARGETCLI),
    own("export scst", commands::export::SCST),
    call("version", "spdk_get_version").shown(views::VERSION),
    call("wait", "framework_wait_init"),
    call("stop", "spdk_kill_instance").by_place(&["sig_name"]).default(&[("sig_name", "SIGTERM")]),
    call("methods", "rpc_get_methods").without(&["current", "include_aliases"]),
    call("describe", "rpc.discover"),
    own("call", commands::call::CALL),
    own("completion", commands::generate::COMPLETION),
    own("man", commands::generate::MAN),
];

/// Of SPDK's schedulers; refused here.
const NO_SCHEDULING: &[&str] = &["load_limit", "core_limit", "core_busy", "mappings"];
const BLOCKS: &[(&str, &str)] = &[("block_size", "512")];
const PORT: &[(&str, &str)] = &[("port", "5555")];
const NO_DELAY: &[(&str, &str)] =
    &[("avg_read_latency", "0"), ("p99_read_latency", "0"), ("avg_write_latency", "0"), ("p99_write_latency", "0")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::methods;

    #[test]
    fn every_method_has_a_verb() {
        let reached: BTreeSet<&str> = VERBS.iter().flat_map(Verb::methods).collect();
        let missing: Vec<&str> =
            methods::all().iter().map(|method| method.name.as_str()).filter(|name| !reached.contains(name)).collect();
        assert!(missing.is_empty(), "add a verb for each of {missing:?}");
    }

    /// What stands in backquotes of the documents, as far as it is a command of ours, is one.
    #[test]
    fn documents_name_verbs_and_options_that_there_are() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let chapters =
            std::fs::read_dir(root.join("docs")).expect("docs/").map(|entry| entry.expect("an entry").path());
        let documents = chapters.filter(|path| path.extension().is_some_and(|name| name == "md"));
        let texts: Vec<String> = documents
            .chain([root.join("README.md")])
            .map(|path| std::fs::read_to_string(path).expect("a document"))
            .collect();
        let spans =
            texts.iter().flat_map(|text| text.split(['`', '\n'])).map(|span| span.trim_start_matches("# ").trim());
        let mut count = 0;
        for span in spans.filter_map(|span| span.strip_prefix("srptctl ")) {
            let span = span.split(['#', '>', '|']).next().unwrap_or(span);
            let (mut command, mut words) = (crate::cli::command(), span.split_whitespace().peekable());
            while let Some(below) = words.peek().and_then(|word| command.find_subcommand(word)).cloned() {
                command = below;
                words.next();
            }
            let placeholder = |word: &str| word.starts_with("METHOD") || word.starts_with("--help");
            let is_verb = command.get_subcommands().next().is_none() || words.clone().all(placeholder);
            assert!(is_verb, "srptctl {span}: there is no such verb");
            let places = command.get_positionals().count();
            let given = words.clone().take_while(|word| !word.starts_with('-')).count();
            let many =
                command.get_positionals().any(|arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1));
            assert!(many || given <= places, "srptctl {span}: too many arguments");
            for option in words.filter_map(|word| word.strip_prefix("--")) {
                let long = option.split('=').next().unwrap_or(option);
                let known = command.get_arguments().any(|arg| arg.get_long() == Some(long));
                let global = ["help", "socket", "json", "timeout", "color"].contains(&long);
                assert!(known || global, "srptctl {span}: there is no option --{long}");
            }
            count += 1;
        }
        assert!(count > 100, "only {count} commands were found");
    }

    /// Every verb of scstadmin(1), today's and those of SCST 1, stands in the table of docs/migrate-scst.md.
    #[test]
    fn every_verb_of_scstadmin_is_in_the_table() {
        let document = include_str!("../../../docs/migrate-scst.md");
        let verbs = "config check_config write_config clear_config list_handler list_device list_dgrp list_tgrp list_driver list_target list_group \
            list_scst_attr list_hnd_attr list_dev_attr list_drv_attr list_dgrp_attr list_tgrp_attr list_ttgt_attr list_tgt_attr list_grp_attr \
            list_lun_attr list_init_attr list_sessions set_scst_attr set_hnd_attr set_dev_attr set_drv_attr set_dgrp_attr set_tgrp_attr \
            set_ttgt_attr set_tgt_attr set_grp_attr set_lun_attr set_init_attr add_drv_attr add_tgt_attr rem_drv_attr rem_tgt_attr open_dev \
            resync_dev close_dev add_dgrp rem_dgrp add_dgrp_dev rem_dgrp_dev add_tgrp rem_tgrp add_tgrp_tgt rem_tgrp_tgt add_target rem_target \
            add_group rem_group add_init rem_init move_init clear_inits add_lun rem_lun replace_lun clear_luns enable_target disable_target \
            issue_lip lip no_lip nonkey force noprompt cont_on_err debug \
            ClearConfig WriteConfig checkConfig sessions enable disable issue_lip adddev resyncdev RemoveDev SetT10DeviceId adduser MoveUser \
            RemoveUser ClearUsers addgroup renamegroup RemoveGroup assigndev ReplaceDev ReleaseDev ClearDevs ForceConfig";
        for verb in verbs.split_whitespace() {
            let ends = ['`', ' '];
            let named = ends.iter().any(|end| document.contains(&format!("`-{verb}{end}")));
            assert!(named, "-{verb} is not in the table");
        }
    }

    #[test]
    fn verbs_name_what_there_is() {
        for verb in VERBS {
            let (noun, _) = verb.path.rsplit_once(' ').unwrap_or_default();
            assert!(noun.is_empty() || NOUNS.iter().any(|(name, _)| *name == noun), "{}: {noun} is no noun", verb.path);
            let method = match &verb.action {
                Action::Call(method) => methods::find(method),
                Action::ByKind(kinds) => methods::find(kinds[0].method),
                Action::Own(_) => None,
            };
            let defaults = verb.defaults.iter().map(|(name, _)| name);
            for name in verb.positional.iter().chain(verb.hidden).chain(defaults) {
                let known = method.is_none_or(|method| method.param(name).is_some());
                assert!(known, "{}: its method has no parameter {name}", verb.path);
            }
        }
    }
}
