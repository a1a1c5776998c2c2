//! LIO's configuration, `/etc/target/saveconfig.json`, as targetcli and rtslib write it.

mod json;
mod storage;

use std::collections::BTreeMap;

use self::json::{Document, Node};
use self::storage::PortGroupOf;
use super::Imported;
use super::initiator;
use super::notes::Notes;
use super::options::Options;
use super::setup::{Group, Lun, Setup, Target};

/// The fabric whose targets are SRP targets.
const SRPT: &str = "srpt";

/// Reads a configuration.
///
/// # Errors
/// Line and message, if it is not JSON at all.
pub(crate) fn import(text: &str, options: &Options) -> Result<Imported, (usize, String)> {
    let document = Document::new(text);
    let root = document.root()?;
    let mut conversion =
        Conversion { options, notes: Notes::default(), setup: Setup::default(), storage: BTreeMap::new() };
    conversion.convert(&root);
    Ok(conversion.setup.requests(options, conversion.notes))
}

struct Conversion<'a> {
    options: &'a Options,
    notes: Notes,
    setup: Setup,
    /// By `/backstores/PLUGIN/NAME`: the device's name, and the target port groups that its LUNs may be in.
    storage: BTreeMap<String, (String, Vec<PortGroupOf>)>,
}

impl Conversion<'_> {
    fn convert(&mut self, root: &Node) {
        self.notes.used(root.line());
        let mut targets = Vec::new();
        for (name, node) in root.members() {
            self.notes.used(node.line());
            match name.as_str() {
                "storage_objects" => node.elements().iter().for_each(|object| self.storage_object(object)),
                "targets" => targets = node.elements(),
                _ => self.left_out(&name, &node, "nothing that is imported"),
            }
        }
        targets.iter().for_each(|target| self.target(target));
        if self.setup.targets.is_empty() {
            let fabrics = if self.options.drivers.is_empty() { SRPT.into() } else { self.options.drivers.join(", ") };
            self.notes.warn(None, format!("there is no target of the fabric {fabrics}"));
        }
        if !self.setup.devices.is_empty() {
            self.notes.remark(None, "units have other NAA identifiers (VPD 83h) than LIO's, which had 16 bytes: names in /dev/disk/by-id and WWIDs of multipath change at the initiators; serial numbers (VPD 80h) stay");
        }
    }

    fn left_out(&mut self, name: &str, node: &Node, why: &str) {
        let value = node.value();
        let says_nothing = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
        if !says_nothing {
            self.notes.warn(node.line(), format!("{name}: {why}; it is left out"));
        }
        node.account(&mut self.notes);
    }

    fn storage_object(&mut self, node: &Node) {
        let known: Vec<String> = self.setup.devices.iter().map(|device| device.name.clone()).collect();
        let path = format!("/backstores/{}/{}", node.text("plugin"), node.text("name"));
        if let Some((device, groups)) = storage::convert(node, &known, &mut self.notes) {
            self.storage.insert(path, (device.name.clone(), groups));
            self.setup.devices.push(device);
        }
    }

    fn target(&mut self, node: &Node) {
        self.notes.used(node.line());
        let (fabric, wwn) = (node.text("fabric"), node.text("wwn"));
        let wanted = match &self.options.drivers[..] {
            [] => fabric == SRPT,
            fabrics => fabrics.contains(&fabric),
        };
        if !wanted {
            let why = format!("srpt speaks SRP alone; `--driver {fabric}` makes an SRP target of it");
            return self.left_out(&format!("target {wwn} of {fabric}"), node, &why);
        }
        node.account_names(&mut self.notes, &["fabric", "wwn", "tpgs"]);
        for (name, inner) in
            node.members().iter().filter(|(name, _)| !["fabric", "wwn", "tpgs"].contains(&name.as_str()))
        {
            self.left_out(name, inner, "an attribute of targets without an equivalent");
        }
        for (place, tpg) in node.member("tpgs").iter().flat_map(Node::elements).enumerate() {
            // Where there are several, as iSCSI has them, each is a target.
            let name = if place == 0 { wwn.clone() } else { format!("{wwn}-{}", tpg.number("tag").unwrap_or(0)) };
            self.portal_group(&tpg, &name);
        }
    }

    fn portal_group(&mut self, node: &Node, name: &str) {
        self.notes.used(node.line());
        if node.flag("enable") == Some(false) {
            let why = "it is not enabled; here a target that is there is served";
            return self.left_out(&format!("target {name}"), node, why);
        }
        let mut target = Target::new(node.line(), name);
        let mut port_groups = Vec::new();
        for (member, inner) in node.members() {
            self.notes.used(inner.line());
            match member.as_str() {
                "luns" => {
                    for lun in inner.elements() {
                        let (lun, group) = self.lun(&lun);
                        target.luns.extend(lun);
                        port_groups.extend(group);
                    }
                }
                "node_acls" | "tag" | "enable" => {}
                "attributes" | "parameters" => {
                    for (name, value) in inner.members() {
                        self.notes.remark(value.line(), format!("{name}: means nothing here"));
                    }
                    inner.account(&mut self.notes);
                }
                "portals" if inner.elements().is_empty() => {}
                _ => self.left_out(&member, &inner, "an attribute of targets without an equivalent"),
            }
        }
        for acl in node.member("node_acls").iter().flat_map(Node::elements) {
            let group = self.acl(&acl, &target.luns);
            target.groups.push(group);
        }
        if target.groups.is_empty() {
            self.notes.warn(node.line(), format!("target {name}: nobody could log in, for want of an ACL; an initiator group without members keeps it so"));
            target.groups.push(Group { name: "nobody".into(), initiators: Vec::new(), luns: Vec::new() });
        }
        self.setup.targets.push(target);
        for (device, group) in port_groups {
            let group = group.for_target(name, device);
            self.setup.add_port_group(group, &mut self.notes);
        }
    }

    /// A LUN, and the device and target port group that it is in.
    fn lun(&mut self, node: &Node) -> (Option<Lun>, Option<(String, PortGroupOf)>) {
        node.account(&mut self.notes);
        let path = node.text("storage_object");
        let (Some(number), Some((device, groups))) = (node.number("index"), self.storage.get(&path)) else {
            self.notes.warn(
                node.line(),
                format!("LUN on {path}: there is no such storage object, or no index; it is left out"),
            );
            return (None, None);
        };
        let group_name = node.text("alua_tg_pt_gp_name");
        let group = groups.iter().find(|group| group.name == group_name).cloned();
        let lun = Lun { line: node.line(), number, device: device.clone(), read_only: false };
        (Some(lun), group.map(|group| (device.clone(), group)))
    }

    fn acl(&mut self, node: &Node, luns: &[Lun]) -> Group {
        self.notes.used(node.line());
        let wwn = node.text("node_wwn");
        let mut group = Group { name: wwn.clone(), initiators: Vec::new(), luns: Vec::new() };
        for (member, inner) in node.members() {
            self.notes.used(inner.line());
            match member.as_str() {
                "node_wwn" => match initiator::patterns(&wwn) {
                    Some(patterns) => group.initiators = patterns,
                    None => self.notes.warn(
                        inner.line(),
                        format!("node_wwn {wwn}: neither a port's GID or GUID nor an address; nobody is in the group"),
                    ),
                },
                "mapped_luns" => {
                    for mapped in inner.elements() {
                        group.luns.extend(self.mapped_lun(&mapped, luns));
                    }
                }
                "attributes" | "parameters" => {
                    for (name, value) in inner.members() {
                        self.notes.remark(value.line(), format!("{name}: means nothing here"));
                    }
                    inner.account(&mut self.notes);
                }
                "tag" => self.notes.remark(inner.line(), "tag: groups of ACLs are groups of their own here"),
                _ => self.left_out(&member, &inner, "an attribute of ACLs without an equivalent"),
            }
        }
        group
    }

    fn mapped_lun(&mut self, node: &Node, luns: &[Lun]) -> Option<Lun> {
        node.account(&mut self.notes);
        let behind = node.number("tpg_lun").and_then(|number| luns.iter().find(|lun| lun.number == number));
        let (Some(number), Some(behind)) = (node.number("index"), behind) else {
            self.notes.warn(node.line(), "mapped LUN: the target has no such LUN, or it has no index; it is left out");
            return None;
        };
        let read_only = node.flag("write_protect").unwrap_or(false);
        Some(Lun { line: node.line(), number, device: behind.device.clone(), read_only })
    }
}

impl Node<'_> {
    /// The lines of members that are looked at by name.
    fn account_names(&self, notes: &mut Notes, names: &[&str]) {
        for (_, node) in self.members().iter().filter(|(name, _)| names.contains(&name.as_str())) {
            notes.used(node.line());
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
