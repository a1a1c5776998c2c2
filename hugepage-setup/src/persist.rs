//! Reserving huge pages at every boot.
//!
//! Three places, for three cases: `vm.nr_hugepages` in sysctl.d(5) speaks of the default page size and the whole
//! system; tmpfiles.d(5) writes the file of any other pool early at boot; 1 GiB pages are found reliably only by the
//! kernel itself while it boots, so they belong on its command line (kernel-parameters.txt: hugepagesz, hugepages).

use crate::page::{GIB, Size};
use crate::status::{PoolId, pool_file};

/// What makes a reservation last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// A file to write.
    File {
        /// Absolute path.
        path: String,
        /// Whole text.
        text: String,
    },
    /// Parameters that the administrator adds to the kernel command line.
    KernelCommandLine {
        /// Such as `hugepagesz=1G hugepages=4`.
        parameters: String,
    },
}

/// The plan for `pages` pages of pool `id`, where `default_page_bytes` is the size that `vm.nr_hugepages` speaks of.
pub fn plan(id: PoolId, pages: u64, default_page_bytes: Option<u64>) -> Plan {
    let size = Size(id.page_bytes);
    if id.page_bytes >= GIB {
        let count = id.node.map_or(pages.to_string(), |node| format!("{node}:{pages}"));
        return Plan::KernelCommandLine { parameters: format!("hugepagesz={size} hugepages={count}") };
    }
    let header = format!("# Written by `hugepage-setup persist`: {pages} {id} at boot.\n");
    let name = id.node.map_or(String::new(), |node| format!("-node{node}"));
    if id.node.is_none() && default_page_bytes == Some(id.page_bytes) {
        let path = format!("/etc/sysctl.d/90-hugepage-setup-{size}.conf");
        return Plan::File { path, text: format!("{header}vm.nr_hugepages = {pages}\n") };
    }
    let path = format!("/etc/tmpfiles.d/hugepage-setup-{size}{name}.conf");
    Plan::File { path, text: format!("{header}w {} - - - - {pages}\n", pool_file(id, "nr_hugepages")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::MIB;

    const TWO_MIB: u64 = 2 * MIB;

    fn file(id: PoolId, default: Option<u64>) -> (String, String) {
        match plan(id, 256, default) {
            Plan::File { path, text } => (path, text.lines().nth(1).unwrap_or_default().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn default_pages_of_the_whole_system_go_to_sysctl() {
        let (path, line) = file(PoolId { page_bytes: TWO_MIB, node: None }, Some(TWO_MIB));
        assert_eq!(path, "/etc/sysctl.d/90-hugepage-setup-2M.conf");
        assert_eq!(line, "vm.nr_hugepages = 256");
    }

    #[test]
    fn pages_of_a_node_go_to_tmpfiles() {
        let (path, line) = file(PoolId { page_bytes: TWO_MIB, node: Some(1) }, Some(TWO_MIB));
        assert_eq!(path, "/etc/tmpfiles.d/hugepage-setup-2M-node1.conf");
        let file = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
        assert_eq!(line, format!("w {file} - - - - 256"));
    }

    #[test]
    fn pages_that_are_not_the_default_size_do_not_go_to_sysctl() {
        let (path, line) = file(PoolId { page_bytes: TWO_MIB, node: None }, Some(GIB));
        assert_eq!(path, "/etc/tmpfiles.d/hugepage-setup-2M.conf");
        assert_eq!(line, "w /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages - - - - 256");
    }

    #[test]
    fn gibibyte_pages_go_to_the_kernel_command_line() {
        let parameters = |node| match plan(PoolId { page_bytes: GIB, node }, 4, Some(TWO_MIB)) {
            Plan::KernelCommandLine { parameters } => parameters,
            other => panic!("{other:?}"),
        };
        assert_eq!(parameters(None), "hugepagesz=1G hugepages=4");
        assert_eq!(parameters(Some(1)), "hugepagesz=1G hugepages=1:4");
    }
}
