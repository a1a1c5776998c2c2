//! What the device management agent of InfiniBand was asked.

use device_management::Counts;
use metrics::{Family, Scrape};

static REQUESTS: Family = Family::counter(
    "srpt_device_management_requests_total",
    &["port", "result"],
    "Requests of initiators that look for targets, at each InfiniBand port; result: answered, refused (with a status), ignored, unsent.",
);

#[cfg(test)]
pub(super) const FAMILIES: &[&Family] = &[&REQUESTS];

pub(in crate::metrics) fn add(scrape: &mut Scrape, ports: &[(String, Counts)]) {
    for (port, Counts { answered, refused, ignored, unsent }) in ports {
        for (result, count) in [("answered", answered), ("refused", refused), ("ignored", ignored), ("unsent", unsent)]
        {
            scrape.counter(&REQUESTS, &[port, result], *count);
        }
    }
}
