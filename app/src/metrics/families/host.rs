//! The huge pages that the host has.

use hugepage_setup::status::{self, Pool};
use hugepage_setup::system::System;
use metrics::{Family, Scrape};

use super::number;

const LABELS: &[&str] = &["node", "page_bytes"];

static PAGES: Family =
    Family::gauge("srpt_huge_pages", LABELS, "Huge pages of a size on a NUMA node; an empty node is the whole host.");
static FREE: Family = Family::gauge("srpt_huge_pages_free", LABELS, "Those that no mapping has.");
static SURPLUS: Family = Family::gauge("srpt_huge_pages_surplus", LABELS, "Those beyond the configured number.");

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[&PAGES, &FREE, &SURPLUS];

/// A host whose files cannot be read has no samples.
pub(in crate::metrics) fn add(scrape: &mut Scrape) {
    let system = System::real();
    let pools = status::pools(&system).into_iter().chain(status::node_pools(&system)).flatten();
    pools.for_each(|pool| add_pool(scrape, &pool));
}

fn add_pool(scrape: &mut Scrape, pool: &Pool) {
    let (node, bytes) = (pool.id.node.map(|node| node.to_string()).unwrap_or_default(), pool.id.page_bytes.to_string());
    let labels = &[node.as_str(), bytes.as_str()];
    scrape.gauge(&PAGES, labels, number(pool.total));
    scrape.gauge(&FREE, labels, number(pool.free));
    scrape.gauge(&SURPLUS, labels, number(pool.surplus));
}
