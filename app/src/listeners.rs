//! Where logins are taken: at addresses, and at network interfaces. A listener at an interface is one at each of its addresses, which come and
//! go with them.
//!
//! The addresses are looked at each second, as the fabric roce does for itself: an address that came a second ago has hardly an initiator yet,
//! and a look always finds what is so, whatever happened in between. Nothing here needs to be told that an interface was renamed or made again.
//!
//! Link-local IPv6 addresses are left out: without the initiator's own interface they name no host, and a login string has no place for that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fabric::ListenerState;
use fabric::roce::packet_io::{Interface, interfaces};
use nix::net::if_::if_nametoindex;
use reactor::Instant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use transport_srp::{AdminError, Controller, ListenerInfo};

/// How often the addresses are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Longest name that is taken. Linux' own have at most 15 characters; ports that DPDK drives have longer ones.
const NAME_LEN_MAX: usize = 64;

/// Addresses of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

/// A listener at an interface, as it was asked for. No two have the same but for the family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AtInterface {
    pub(crate) fabric: String,
    pub(crate) interface: String,
    pub(crate) port: u16,
    /// `None`: both.
    pub(crate) family: Option<Family>,
}

/// The listeners at interfaces, and what stands at their addresses.
#[derive(Default)]
pub(crate) struct InterfaceListeners {
    followed: Vec<Followed>,
    next: Instant,
    /// Why the addresses could not be listed, to be said once.
    complaint: Option<String>,
}

struct Followed {
    what: AtInterface,
    addresses: BTreeMap<IpAddr, Held>,
    /// Why there is none.
    waits_for: String,
}

/// What stands at an address.
#[derive(PartialEq, Eq)]
enum Held {
    /// A listener that is there because of the interface.
    Ours,
    /// One of its own, or of another interface.
    Others,
    /// None, and why. It is tried again at each look.
    Refused(String),
}

/// A listener at an address, whatever it is there for, or one at an interface that has none; for display.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) fabric: String,
    pub(crate) interface: Option<String>,
    pub(crate) family: Option<Family>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) state: ListenerState,
}

impl Shown {
    /// Address and port; where there is no address, the interface's name.
    pub(crate) fn place(&self) -> String {
        match self.address {
            Some(address) => SocketAddr::new(address, self.port).to_string(),
            None => format!("{}:{}", self.interface.as_deref().unwrap_or_default(), self.port),
        }
    }
}

impl InterfaceListeners {
    /// Listens at an interface's addresses from now on, whether it is there or not.
    ///
    /// # Errors
    /// A parameter is wrong, or it is listened there.
    pub(crate) fn create(&mut self, controller: &mut Controller, what: AtInterface) -> Result<(), AdminError> {
        let AtInterface { fabric, interface, port, .. } = &what;
        let is_odd = |character: char| character.is_whitespace() || character.is_control() || character == '/';
        if interface.is_empty() || interface.len() > NAME_LEN_MAX || interface.contains(is_odd) {
            return Err(AdminError::Invalid("interface: a name is needed, as `ip link` shows it".into()));
        }
        controller.check_ip_fabric(fabric)?;
        if self.position(fabric, interface, *port).is_some() {
            let text = format!("interface, port: {fabric} listens on interface {interface}, port {port}, already");
            return Err(AdminError::Exists(text));
        }
        self.followed.push(Followed { what, addresses: BTreeMap::new(), waits_for: String::new() });
        self.look(controller);
        Ok(())
    }

    /// Takes no more logins there; sessions stay.
    ///
    /// # Errors
    /// There is no such listener.
    pub(crate) fn delete(
        &mut self,
        controller: &mut Controller,
        fabric: &str,
        interface: &str,
        port: u16,
    ) -> Result<(), AdminError> {
        let missing = || format!("interface, port: {fabric} does not listen on interface {interface}, port {port}");
        let found = self.position(fabric, interface, port).ok_or_else(|| AdminError::NotFound(missing()))?;
        let mut followed = self.followed.remove(found);
        followed.leave_all_but(controller, &BTreeSet::new());
        self.look_soon(); // another interface may have an address of it
        Ok(())
    }

    fn position(&self, fabric: &str, interface: &str, port: u16) -> Option<usize> {
        let is_it =
            |what: &AtInterface| (&what.fabric[..], &what.interface[..], what.port) == (fabric, interface, port);
        self.followed.iter().position(|followed| is_it(&followed.what))
    }

    /// The interface because of which there is a listener at an address.
    pub(crate) fn owner(&self, fabric: &str, at: SocketAddr) -> Option<&str> {
        let has = |followed: &&Followed| {
            let AtInterface { fabric: other, port, .. } = &followed.what;
            (&other[..], *port) == (fabric, at.port()) && followed.addresses.get(&at.ip()) == Some(&Held::Ours)
        };
        self.followed.iter().find(has).map(|followed| &followed.what.interface[..])
    }

    /// Makes room for a listener of its own at an address, so that it does not matter which of the two is made first.
    pub(crate) fn give_way(&mut self, controller: &mut Controller, fabric: &str, at: SocketAddr) {
        for Followed { what, addresses, .. } in &mut self.followed {
            if let Some(held) = addresses.get_mut(&at.ip())
                && *held == Held::Ours
                && (&what.fabric[..], what.port) == (fabric, at.port())
                && controller.delete_listener(fabric, at).is_ok()
            {
                *held = Held::Others;
            }
        }
    }

    /// A listener of its own went: interfaces that have its address take it over at the next poll.
    pub(crate) fn look_soon(&mut self) {
        self.next = Instant::default();
    }

    /// Looks, if it is time.
    pub(crate) fn poll(&mut self, controller: &mut Controller, now: Instant) {
        if now >= self.next && !self.followed.is_empty() && !controller.is_draining() {
            self.next = now.plus(PERIOD);
            self.look(controller);
        }
    }

    fn look(&mut self, controller: &mut Controller) {
        match interfaces() {
            Ok(interfaces) => {
                self.complaint = None;
                self.follow(controller, &interfaces);
            }
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!(%error, "the addresses of network interfaces cannot be listed: listeners at interfaces stay as they are");
                }
                self.complaint = Some(complaint);
            }
        }
    }

    /// Has a listener at each usable address, and none elsewhere.
    fn follow(&mut self, controller: &mut Controller, interfaces: &[Interface]) {
        // First what goes: an address may have moved to another interface.
        for followed in &mut self.followed {
            let there = usable(interfaces, &followed.what);
            followed.leave_all_but(controller, &there);
        }
        for followed in &mut self.followed {
            let there = usable(interfaces, &followed.what);
            there.iter().for_each(|address| followed.join(controller, *address));
            followed.note_absence(interfaces);
        }
    }

    /// Everywhere that logins are taken or are to be taken: listeners at addresses first, then those at interfaces.
    pub(crate) fn show(&self, controller: &Controller) -> Vec<Shown> {
        let listeners = controller.listeners();
        let own = listeners.iter().filter(|listener| self.owner(listener.fabric, listener.address).is_none());
        let own = own.map(|ListenerInfo { fabric, address, state }| Shown {
            fabric: (*fabric).to_owned(),
            interface: None,
            family: None,
            address: Some(address.ip()),
            port: address.port(),
            state: state.clone(),
        });
        own.chain(self.followed.iter().flat_map(|followed| followed.show(&listeners))).collect()
    }

    /// The requests that make them.
    pub(crate) fn save(&self) -> impl Iterator<Item = Value> {
        self.followed.iter().map(|Followed { what: AtInterface { fabric, interface, port, family }, .. }| {
            let mut params = json!({"fabric": fabric, "interface": interface, "port": port});
            if let Some(family) = family {
                params["family"] = json!(family);
            }
            json!({"method": "srp_create_listener", "params": params})
        })
    }
}

impl Followed {
    fn at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.what.port)
    }

    fn leave_all_but(&mut self, controller: &mut Controller, there: &BTreeSet<IpAddr>) {
        let gone: Vec<IpAddr> = self.addresses.keys().filter(|address| !there.contains(address)).copied().collect();
        for address in gone {
            if self.addresses.remove(&address) != Some(Held::Ours) {
                continue;
            }
            let at = self.at(address);
            let AtInterface { fabric, interface, .. } = &self.what;
            match controller.delete_listener(fabric, at) {
                Ok(()) => tracing::info!(%interface, %fabric, %at, "an address left, and its listener with it"),
                Err(error) => tracing::warn!(%interface, %fabric, %at, %error, "an address left"),
            }
        }
    }

    /// Listens at an address, if it does not already.
    fn join(&mut self, controller: &mut Controller, address: IpAddr) {
        let (at, before) = (self.at(address), self.addresses.get(&address));
        if before == Some(&Held::Ours) {
            return;
        }
        let AtInterface { fabric, interface, .. } = &self.what;
        let held = match controller.create_listener(fabric, at) {
            Ok(()) => {
                tracing::info!(%interface, %fabric, %at, "an address joined, and has a listener now");
                Held::Ours
            }
            Err(AdminError::Exists(_)) => Held::Others,
            Err(error) => Held::Refused(error.to_string()),
        };
        if let (Held::Refused(error), true) = (&held, before != Some(&held)) {
            tracing::warn!(%interface, %fabric, %at, error, "an address joined, and cannot be listened at yet");
        }
        self.addresses.insert(address, held);
    }

    /// Says why there is no address, if that is so.
    fn note_absence(&mut self, interfaces: &[Interface]) {
        let AtInterface { fabric, interface, port, family } = &self.what;
        let is_there =
            || interfaces.iter().any(|other| other.name == *interface) || if_nametoindex(interface.as_str()).is_ok();
        let kind = match family {
            Some(Family::Ipv4) => "IPv4 ",
            Some(Family::Ipv6) => "IPv6 ",
            None => "",
        };
        let waits_for = match self.addresses.is_empty() {
            false => String::new(),
            true if is_there() => {
                format!("network interface {interface} is down, or has no {kind}address to listen at")
            }
            true => format!("there is no network interface {interface}: `ip link` lists them"),
        };
        if !waits_for.is_empty() && waits_for != self.waits_for {
            tracing::warn!("listener {fabric} at {interface}, port {port} waits: {waits_for}");
        }
        self.waits_for = waits_for;
    }

    fn show(&self, listeners: &[ListenerInfo]) -> Vec<Shown> {
        let AtInterface { fabric, interface, port, family } = &self.what;
        let shown = |address, state| Shown {
            fabric: fabric.clone(),
            interface: Some(interface.clone()),
            family: *family,
            address,
            port: *port,
            state,
        };
        if self.addresses.is_empty() {
            return vec![shown(None, ListenerState::Waiting(self.waits_for.clone()))];
        }
        let state = |address: IpAddr, held: &Held| match held {
            Held::Refused(why) => Some(ListenerState::Waiting(why.clone())),
            Held::Ours | Held::Others => {
                let is_it = |other: &&ListenerInfo| other.fabric == fabric && other.address == self.at(address);
                listeners.iter().find(is_it).map(|listener| listener.state.clone())
            }
        };
        let at = self.addresses.iter();
        at.filter_map(|(address, held)| Some(shown(Some(*address), state(*address, held)?))).collect()
    }
}

/// The addresses at which an initiator can find the interface.
fn usable(interfaces: &[Interface], what: &AtInterface) -> BTreeSet<IpAddr> {
    let is_asked = |address: &IpAddr| match address {
        IpAddr::V4(_) => what.family != Some(Family::Ipv6),
        IpAddr::V6(address) => what.family != Some(Family::Ipv4) && !address.is_unicast_link_local(),
    };
    let its = interfaces.iter().filter(|interface| interface.name == what.interface);
    its.map(|interface| interface.address).filter(is_asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Bench;

    /// Interfaces, each with an address.
    fn interfaces(list: &[(&str, &str)]) -> Vec<Interface> {
        let interface = |&(name, address): &(&str, &str)| Interface {
            name: name.into(),
            index: 7,
            address: address.parse().expect("an address"),
            mtu: 1500,
        };
        list.iter().map(interface).collect()
    }

    fn at(interface: &str, family: Option<Family>) -> AtInterface {
        AtInterface { fabric: "verbs".into(), interface: interface.into(), port: 5555, family }
    }

    /// What is shown: of each interface its addresses. No look at this machine's own interfaces disturbs it.
    struct Rig {
        bench: Bench,
        listeners: InterfaceListeners,
        _folder: tempfile::TempDir,
    }

    impl Rig {
        fn new(all: &[AtInterface]) -> Rig {
            let folder = tempfile::tempdir().expect("a folder");
            let mut bench = Bench::new(folder.path());
            let mut listeners = InterfaceListeners::default();
            for what in all {
                listeners.create(&mut bench.appliance.controller, what.clone()).expect("a listener");
            }
            Rig { bench, listeners, _folder: folder }
        }

        fn follow(&mut self, list: &[(&str, &str)]) -> Vec<String> {
            self.listeners.follow(&mut self.bench.appliance.controller, &interfaces(list));
            self.shown()
        }

        fn shown(&self) -> Vec<String> {
            let shown = self.listeners.show(&self.bench.appliance.controller).into_iter();
            let shown = shown.filter(|it| it.address.is_some());
            shown.map(|it| format!("{} {}", it.interface.clone().unwrap_or_default(), it.place())).collect()
        }

        /// Of the controller itself.
        fn listening(&self) -> Vec<String> {
            self.bench.appliance.controller.listeners().iter().map(|it| it.address.to_string()).collect()
        }
    }

    #[test]
    fn only_addresses_that_an_initiator_can_name_are_taken() {
        let all = [("a", "10.0.0.1"), ("a", "fd00::1"), ("a", "fe80::1"), ("a", "2001:db8::1"), ("b", "10.0.0.2")];
        for (family, expected) in [
            (None, &["10.0.0.1", "2001:db8::1", "fd00::1"][..]),
            (Some(Family::Ipv4), &["10.0.0.1"]),
            (Some(Family::Ipv6), &["2001:db8::1", "fd00::1"]),
        ] {
            let usable: Vec<String> =
                usable(&interfaces(&all), &at("a", family)).iter().map(IpAddr::to_string).collect();
            assert_eq!(usable, expected);
        }
    }

    /// Within one look: had the new interface's turn come first, the address would have been taken still.
    #[test]
    fn an_address_that_moves_to_another_interface_is_listened_at_all_the_time() {
        let mut rig = Rig::new(&[at("left0", None), at("right0", None)]);
        assert_eq!(rig.follow(&[("right0", "192.0.2.1")]), ["right0 192.0.2.1:5555"]);
        assert_eq!(rig.follow(&[("left0", "192.0.2.1")]), ["left0 192.0.2.1:5555"]);
        assert_eq!(rig.listening(), ["192.0.2.1:5555"]);
        assert_eq!(rig.listeners.owner("verbs", "192.0.2.1:5555".parse().expect("an address")), Some("left0"));
    }

    #[test]
    fn what_two_interfaces_have_is_listened_at_until_both_have_lost_it() {
        let mut rig = Rig::new(&[at("left0", None), at("right0", None)]);
        let both = [("left0", "192.0.2.1"), ("right0", "192.0.2.1")];
        assert_eq!(rig.follow(&both), ["left0 192.0.2.1:5555", "right0 192.0.2.1:5555"]);
        assert_eq!(rig.follow(&both[1..]), ["right0 192.0.2.1:5555"]);
        assert_eq!(rig.listening(), ["192.0.2.1:5555"]);
        assert_eq!(rig.follow(&[]), [""; 0]);
        assert_eq!(rig.listening(), [""; 0]);
    }

    #[test]
    fn a_listener_of_its_own_goes_before_and_is_none_of_the_interfaces() {
        let mut rig = Rig::new(&[at("left0", None)]);
        let own = "192.0.2.1:5555".parse().expect("an address");
        let list = [("left0", "192.0.2.1"), ("left0", "192.0.2.2")];
        rig.follow(&list);
        rig.listeners.give_way(&mut rig.bench.appliance.controller, "roce", own);
        assert_eq!(rig.listening().len(), 2, "of another fabric");
        rig.listeners.give_way(&mut rig.bench.appliance.controller, "verbs", own);
        rig.bench.appliance.controller.create_listener("verbs", own).expect("there is room");
        let shown = [" 192.0.2.1:5555", "left0 192.0.2.1:5555", "left0 192.0.2.2:5555"];
        assert_eq!(rig.follow(&list), shown);
        assert_eq!(rig.listeners.owner("verbs", own), None);
        // The interface's goes, and leaves it alone.
        rig.listeners.delete(&mut rig.bench.appliance.controller, "verbs", "left0", 5555).expect("it was there");
        assert_eq!(rig.listening(), ["192.0.2.1:5555"]);
        assert_eq!(rig.shown(), [" 192.0.2.1:5555"]);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let mut rig = Rig::new(&[at("left0", None)]);
        let mut refusal = |what: AtInterface| {
            let controller = &mut rig.bench.appliance.controller;
            rig.listeners.create(controller, what).expect_err("it must be refused").to_string()
        };
        for name in ["", "with space", "a/b", &"x".repeat(65)] {
            let said = refusal(at(name, None));
            assert!(said.starts_with("interface: "), "{name:?}: {said}");
        }
        assert!(refusal(at("left0", Some(Family::Ipv6))).starts_with("interface, port: "));
        let of = |fabric: &str| AtInterface { fabric: fabric.into(), ..at("left1", None) };
        assert!(refusal(of("ib")).starts_with("fabric: native InfiniBand"));
        assert!(refusal(of("pigeon")).starts_with("fabric: pigeon"));
    }

    /// At the end listeners go first, and none comes after.
    #[test]
    fn a_target_that_ends_takes_no_address() {
        let mut rig = Rig::new(&[at("lo", None)]);
        assert!(!rig.listening().is_empty());
        let controller = &mut rig.bench.appliance.controller;
        controller.start_drain();
        rig.listeners.look_soon();
        rig.listeners.poll(controller, Instant::default().plus(PERIOD));
        assert_eq!(rig.listening(), [""; 0]);
        assert_eq!(rig.shown(), [""; 0]);
    }
}
