//! Checks the verbs back end against a real RDMA device, soft-RoCE for one: both ends run in this process, the target side
//! through `fabric`, the initiator side straight on rdma-core (`client.rs`).
//!
//! ```text
//! verbs_check list
//! verbs_check ADDRESS [SCENARIO…]     all scenarios by default, at port 5555 of ADDRESS
//! ```
//! Prints `N passed, N failed`; the exit status is 0 if none failed. Some scenarios run only when named: for `device_appears` and
//! `device_removed` somebody has to add and remove the device meanwhile, for `memory_may_not_be_pinned` the process may not
//! have CAP_IPC_LOCK.
#![allow(missing_docs, reason = "a program, not an interface")]
#![allow(unsafe_code, reason = "the initiator side calls rdma-core directly")]

mod client;
mod rig;
mod scenarios;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use rig::Rig;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let Some(ip) = first.as_deref().and_then(|text| text.parse::<IpAddr>().ok()) else {
        for (name, _, _) in scenarios::ALL {
            println!("{name}");
        }
        return ExitCode::from(u8::from(first.as_deref() != Some("list")) * 2);
    };
    let address = SocketAddr::new(ip, 5555);
    let chosen: Vec<String> = arguments.collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, by_default, scenario) in scenarios::ALL {
        if if chosen.is_empty() { !by_default } else { !chosen.iter().any(|wanted| wanted == name) } {
            continue;
        }
        let result = std::panic::catch_unwind(|| {
            let mut rig = Rig::new(address);
            scenario(&mut rig);
            rig.finish();
        });
        match result {
            Ok(()) => passed += 1,
            Err(_) => failed += 1,
        }
        println!("{name}: {}", if result.is_ok() { "ok" } else { "FAILED" });
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0 || passed == 0))
}
