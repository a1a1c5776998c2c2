//! The command line.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use transport_srp::wire::PortId;

use super::cases;
use crate::connector::FabricOptions;
use crate::options::{FabricName, local_address, seconds};
use crate::target_option::TargetOption;

/// Tries what a hostile or broken initiator may do, at a target of your own. The unit's content is lost.
#[derive(Parser, Clone, Debug)]
#[command(name = "srp-hostile", version)]
pub struct Options {
    /// Where the target listens, which one it is, and a unit whose content does not matter
    #[arg(long, value_name = "ADDRESS:PORT,id_ext=HEX,ioc_guid=HEX[,lun=NUMBER]")]
    pub target: TargetOption,

    /// Through what: roce (our own, over UDP) or verbs (RDMA devices, by rdma-core)
    #[arg(long, default_value = "roce", value_name = "FABRIC")]
    pub fabric: FabricName,

    /// Our own address [default: the one that the system reaches the target from; 127.0.0.2 for a target on 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub local: Option<IpAddr>,

    /// A case to try, once for each [default: all]
    #[arg(long = "case", value_name = "NAME", value_parser = cases::parse_name)]
    pub cases: Vec<&'static str>,

    /// Times that random inputs are drawn, for each case that draws any
    #[arg(long, default_value_t = 2000, value_name = "NUMBER")]
    pub rounds: u32,

    /// Logins of the login storm
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    pub logins: u32,

    /// Seconds that the target may take for an answer
    #[arg(long, default_value = "20", value_name = "SECONDS", value_parser = seconds)]
    pub patience: Duration,

    /// What random inputs follow from, to repeat a run [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

impl Options {
    /// Whether a case is to be tried.
    pub fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }

    /// The target's port.
    ///
    /// # Errors
    /// It was not named.
    pub fn target_port(&self) -> anyhow::Result<PortId> {
        let part = |half: Option<u64>, name| half.with_context(|| format!("--target: {name}=HEX is missing"));
        Ok(PortId::new(part(self.target.id_ext, "id_ext")?, part(self.target.ioc_guid, "ioc_guid")?))
    }

    /// Our own address.
    ///
    /// # Errors
    /// The system knows none that leads to the target.
    pub fn local(&self) -> anyhow::Result<IpAddr> {
        local_address(self.local, self.fabric, self.target.address)
    }

    /// What to connect through.
    ///
    /// # Errors
    /// A target in this process cannot be chosen.
    pub fn fabric(&self) -> anyhow::Result<FabricOptions> {
        match self.fabric {
            FabricName::Verbs => Ok(FabricOptions::Verbs),
            FabricName::Roce => Ok(FabricOptions::Roce(fabric::roce::packet_io::Way::Udp)),
            FabricName::Sim => anyhow::bail!("--fabric: there are roce and verbs"),
        }
    }
}
